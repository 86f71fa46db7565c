"""The clients, by the names that `conformance/acme/run` takes."""

from typing import Final

from conformance.acme.client import Client
from conformance.acme.clients.acme_client import AcmeClient
from conformance.acme.clients.acme_tiny import AcmeTiny
from conformance.acme.clients.caddy import Caddy
from conformance.acme.clients.certbot import Certbot
from conformance.acme.clients.dehydrated import Dehydrated
from conformance.acme.clients.lego import Lego
from conformance.acme.clients.mod_md import ModMD
from conformance.acme.clients.uacme import Uacme

CLIENTS: Final[dict[str, type[Client]]] = {
    one.name: one for one in (Certbot, Lego, Dehydrated, Uacme, AcmeTiny, AcmeClient, Caddy, ModMD)
}
