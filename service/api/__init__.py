"""Client of a customers API.

``client`` requests pages, ``pacing`` times them, ``sweep`` reads all, ``checkpoint`` stores them.
"""
