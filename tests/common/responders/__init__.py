"""Real responders on loopback for the whole suite: DNS, http-01, tls-alpn-01, and their management API."""

from tests.common.responders.dns_server import DNSResponder
from tests.common.responders.http01_server import HTTP01Responder, redirect, reply
from tests.common.responders.management import management_app
from tests.common.responders.tcp_server import TCPResponder
from tests.common.responders.tls_alpn01_server import Recipe, TLSALPN01Responder, make_certificate
from tests.common.responders.zone import Query, Zone

__all__ = [
    "DNSResponder",
    "HTTP01Responder",
    "Query",
    "Recipe",
    "TCPResponder",
    "TLSALPN01Responder",
    "Zone",
    "make_certificate",
    "management_app",
    "redirect",
    "reply",
]
