"""What a server can show in place of a certificate that counts, kind by kind: a context
for a server of ours, and whether it is its name that is wrong."""

import ssl
import warnings

from .certs import LONG_AGO, Authority

NOT_YET = ("20900101000000Z", "20991231235959Z")


def weak_context(pair, ciphers="ALL:@SECLEVEL=0"):
    """A server that minds nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    context.load_cert_chain(*pair)
    return context


def only(context, version):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version = context.maximum_version = version
    return context


def for_host(host):
    return f"DNS:{host},IP:127.0.0.1"


def self_signed(a, host):
    return a.context(names=for_host(host), alone=True)


def expired(a, host):
    return a.context(names=for_host(host), span=LONG_AGO)


def not_yet_valid(a, host):
    return a.context(names=for_host(host), span=NOT_YET)


def unknown_authority(a, host):
    return Authority(a.folder, "other").context(names=for_host(host))


def wrong_name(a, _host):
    return a.context(names="DNS:other.example")


def name_as_a_prefix(a, host):
    return a.context(names=f"DNS:{host}.other.example")


def name_as_common_name_only(a, host):
    return a.context(names=None, name=host)


def wildcard_over_two_labels(a, host):
    return a.context(names=f"DNS:*.{host.split('.', 2)[2]}")


def wildcard_of_all(a, _host):
    return a.context(names="DNS:*")


def signed_by_a_server(a, host):
    """Whoever has any certificate of the authority could make this one."""
    return a.context(names=for_host(host), issuer=a.issue(names="DNS:other.example", name="other"))


def of_a_client(a, host):
    return a.context(names=for_host(host), extra="extendedKeyUsage = clientAuth")


def rsa_of_1024_bits(a, host):
    return weak_context(a.issue(names=for_host(host), key=("rsa:1024",)))


def signed_with_sha1(a, host):
    return weak_context(a.issue(names=for_host(host), digest="sha1"))


def tls_1_1_only(a, host):
    return only(weak_context(a.issue(names=for_host(host))), ssl.TLSVersion.TLSv1_1)


def null_ciphers(a, host):
    pair = a.issue(names=for_host(host))
    return only(weak_context(pair, "eNULL:@SECLEVEL=0"), ssl.TLSVersion.TLSv1_2)


def nobodys(a, host):
    """No certificate at all: anonymous Diffie-Hellman."""
    pair = a.issue(names=for_host(host))
    return only(weak_context(pair, "aNULL:@SECLEVEL=0"), ssl.TLSVersion.TLSv1_2)
