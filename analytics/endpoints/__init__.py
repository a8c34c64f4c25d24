"""Endpoints: versioned rules on plain rows (no Django). Each result says its value, status and evidence."""

from analytics.endpoints.evaluate import BadEndpoints, evaluate, evaluate_all, load_endpoints
from analytics.endpoints.model import AnyEndpoint, EndpointSet
from analytics.endpoints.rows import Evidence, Result, Row, SubjectRows

__all__ = [
    "AnyEndpoint",
    "BadEndpoints",
    "EndpointSet",
    "Evidence",
    "Result",
    "Row",
    "SubjectRows",
    "evaluate",
    "evaluate_all",
    "load_endpoints",
]
