"""The customers API of a third party: how we ask it, and a simulated one that is as unreliable as real ones are.

``simulated_customers`` says who its customers are, ``scenarios`` what goes wrong, ``wire`` sends it as raw HTTP/1.1,
``simulator`` is the server.
"""
