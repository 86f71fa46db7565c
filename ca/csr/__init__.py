"""Certification requests (PKCS #10, RFC 2986) from strangers: read strictly, or refused in words."""

from ca.csr.refused import CsrRefused
from ca.csr.request import CertificateRequest, parse_csr

__all__ = ["CertificateRequest", "CsrRefused", "parse_csr"]
