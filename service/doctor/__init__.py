"""``doctor``: does this machine let the service work? Each check tries what the service does, and removes it again."""

from service.doctor.checks import examine
from service.doctor.report import DoctorReport, as_json, as_text

__all__ = ["DoctorReport", "as_json", "as_text", "examine"]
