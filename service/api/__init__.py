"""The customers API of a third party: reading it whole, and a simulated one that is as unreliable as real ones are.

``client`` asks for a page until it is one, ``pacing`` says when it may ask, ``sweep`` reads pages until they add up,
``checkpoint`` keeps them. ``simulated_customers`` says who the simulated customers are, ``scenarios`` what goes wrong,
``wire`` sends it as raw HTTP/1.1, ``simulator`` is the server.
"""
