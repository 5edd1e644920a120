"""The HTTP API. ``paceline.api.app.create_app`` makes it; nothing heavy is imported before that."""
