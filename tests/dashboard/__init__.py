"""The dashboard: every page as HTML and as JSON over a real service, and what guards them."""
