"""How Salur is started: on a laptop (``local``), in containers and on Kubernetes."""
