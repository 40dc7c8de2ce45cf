"""The version of sdrt, of its runtime, exporter and benchmark together."""

__version__ = "0.1.0"
