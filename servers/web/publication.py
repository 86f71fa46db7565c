"""CA certificates for relying parties: what AIA points to (RFC 5280 section 4.2.2.1), and PEM for people."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_DER: Final = "application/pkix-cert"  # RFC 2585 section 4.1
_PEM: Final = "application/pem-certificate-chain"  # RFC 8555 section 9.1
_CACHE: Final = "public, max-age=3600"


def add_certificates(app: web.Application, certificates: Mapping[str, x509.Certificate]) -> None:
    """Serve /ca/{name}.cer (DER) and /ca/{name}.pem."""
    files: dict[str, tuple[bytes, str]] = {}
    for name, one in certificates.items():
        files[f"{name}.cer"] = one.public_bytes(Encoding.DER), _DER
        files[f"{name}.pem"] = one.public_bytes(Encoding.PEM), _PEM

    async def certificate(request: web.Request) -> web.Response:
        found = files.get(request.match_info["file"])
        if found is None:
            raise web.HTTPNotFound
        body, media_type = found
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        headers = {"Cache-Control": _CACHE, "ETag": tag, "Content-Type": media_type}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"Cache-Control": _CACHE, "ETag": tag})
        return web.Response(body=body, headers=headers)

    app.router.add_get("/ca/{file}", certificate)
