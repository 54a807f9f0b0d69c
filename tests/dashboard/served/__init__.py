"""The dashboard as users and attackers meet it: a process of its own, over sockets and in a real browser."""
