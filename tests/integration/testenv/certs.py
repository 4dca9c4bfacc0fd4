"""Certificates made on the spot with the openssl command: an authority, and what it (or
another, or nobody) has signed."""

import os
import ssl
import subprocess

CONFIG = """
[ca]
default_ca = any
[any]
database = index
new_certs_dir = .
rand_serial = yes
default_md = {digest}
policy = anything
unique_subject = no
copy_extensions = none
[anything]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical,CA:FALSE
{names}
{extra}
"""
EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
NOW = ("19700101000000Z", "20991231235959Z")
LONG_AGO = ("20200101000000Z", "20200201000000Z")


class Authority:
    """A folder with ca.pem, and what was issued beside it."""

    def __init__(self, folder, name="ca"):
        self.folder = os.path.join(folder, name)
        os.mkdir(self.folder)
        open(os.path.join(self.folder, "index"), "w", encoding="ascii").close()
        self._make("ca", f"/CN=Test authority {name}", "authority", NOW, ["-selfsign"])

    @property
    def path(self):
        """For STOPGAP_CA_FILE."""
        return os.path.join(self.folder, "ca.crt")

    def _openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.folder)

    def _make(self, name, subject, kind, span, signer, names=None, key=EC, digest="sha256",
              extra=""):
        with open(os.path.join(self.folder, "config"), "w", encoding="ascii") as f:
            f.write(CONFIG.format(names=f"subjectAltName = {names}" if names else "",
                                  digest=digest, extra=extra))
        self._openssl("req", "-new", "-newkey", *key, "-nodes", "-subj", subject,
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")
        if signer == ["-selfsign"]:
            signer = ["-selfsign", "-keyfile", f"{name}.key"]
        self._openssl("ca", "-batch", "-notext", "-config", "config", "-extensions", kind,
                      *signer, "-startdate", span[0], "-enddate", span[1],
                      "-in", f"{name}.csr", "-out", f"{name}.crt")

    def issue(self, names="IP:127.0.0.1,DNS:localhost", span=NOW, alone=False, name="server",
              issuer=None, **how):
        """(certificate, key), as paths. alone: signed by itself. issuer: signed by such a
        pair, which then is in the chain. names None: no alternative names. how: key
        (openssl's -newkey), digest, extra (lines of extensions)."""
        signer = ["-selfsign"] if alone else [
            "-cert", issuer[0] if issuer else "ca.crt", "-keyfile", issuer[1] if issuer else "ca.key"]
        self._make(name, f"/CN={name}", "server", span, signer, names, **how)
        pair = tuple(os.path.join(self.folder, f"{name}.{end}") for end in ("crt", "key"))
        if issuer:
            with open(pair[0], "a", encoding="ascii") as chain, \
                    open(issuer[0], encoding="ascii") as above:
                chain.write(above.read())
        return pair

    def context(self, **how):
        """The same for a server of ours."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(**how))
        return context
