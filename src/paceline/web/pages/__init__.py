"""The pages, a module for each place in the menu."""
