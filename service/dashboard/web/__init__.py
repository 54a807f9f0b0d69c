"""The dashboard by HTTP: the application, its guards, the server, and how requests and uploads are received."""
