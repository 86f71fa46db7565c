"""ACME: programs that others wrote get, renew and revoke certificates here. `conformance/acme/run` drives them."""
