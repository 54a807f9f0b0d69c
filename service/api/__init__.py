"""Client of a customers API.

``client`` requests ``pages`` of ``rows``, ``pacing`` times the requests by a ``clock``, ``sweep`` reads the whole
collection, ``checkpoint`` stores its pages.
"""
