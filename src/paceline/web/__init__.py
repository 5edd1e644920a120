"""The dashboard: pages rendered by the server, for people who are signed in."""
