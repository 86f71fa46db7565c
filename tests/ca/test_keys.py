"""Keys in files: nobody else's to read, whole or not there, and silent about themselves."""

import copy
import os
import pickle
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ca.keys import KeyAlgorithm, signature_algorithm, subject_public_key_info, verifier
from ca.keys.file import FileKey, KeyRefused, generate, open_key
from tests.ca.factories import key, private

PASSPHRASE = b"correct horse"


def inside(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("algorithm", KeyAlgorithm)
def test_a_saved_key_is_the_same_key(algorithm: KeyAlgorithm, tmp_path: Path) -> None:
    path = tmp_path / "issuing.key"
    key(algorithm).save(path, PASSPHRASE)
    opened = open_key(path, PASSPHRASE)
    assert opened.algorithm is algorithm
    assert opened.signature_algorithm == signature_algorithm(algorithm)
    assert subject_public_key_info(opened.public_key) == subject_public_key_info(key(algorithm).public_key)
    verifier(key(algorithm).public_key)(opened.sign(b"data"), b"data")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert inside(tmp_path) == ["issuing.key"]


def test_the_file_is_readable_for_openssl_and_costs_its_guessers(tmp_path: Path) -> None:
    path = tmp_path / "issuing.key"
    key().save(path, PASSPHRASE)
    command = ["openssl", "pkey", "-in", str(path), "-passin", "pass:correct horse", "-noout", "-text"]
    assert "prime256v1" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
    command = ["openssl", "asn1parse", "-in", str(path)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "INTEGER           :0927C0" in shown  # 600 000 rounds
    assert "hmacWithSHA256" in shown
    assert "aes-256-cbc" in shown


def test_no_secret_in_any_text_about_a_key(tmp_path: Path) -> None:
    assert repr(key()) == str(key()) == "<FileKey p256>"
    assert not hasattr(key(), "__dict__")
    with pytest.raises(TypeError, match="pickles"):
        pickle.dumps(key())
    with pytest.raises(TypeError, match="pickles"):
        copy.copy(key())
    key().save(tmp_path / "k", PASSPHRASE)
    with pytest.raises(KeyRefused) as refused:
        open_key(tmp_path / "k", b"wrong horse")
    assert "passphrase does not open" in str(refused.value)
    assert str(tmp_path / "k") in str(refused.value)
    assert "horse" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601, 0o644, 0o666])
def test_a_key_that_others_reach_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "k"
    key().save(path, PASSPHRASE)
    path.chmod(mode)
    with pytest.raises(KeyRefused, match=f"mode {mode:04o}"):
        open_key(path, PASSPHRASE)
    path.chmod(0o400)
    assert open_key(path, PASSPHRASE).algorithm is KeyAlgorithm.P256


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k"
    key().save(path, PASSPHRASE)
    os.chown(path, 65534, -1)
    with pytest.raises(KeyRefused, match="another user"):
        open_key(path, PASSPHRASE)


def test_links_and_things_that_are_no_files_are_refused(tmp_path: Path) -> None:
    key().save(tmp_path / "k", PASSPHRASE)
    (tmp_path / "link").symlink_to(tmp_path / "k")
    with pytest.raises(KeyRefused, match="symbolic link"):
        open_key(tmp_path / "link", PASSPHRASE)
    with pytest.raises(KeyRefused, match="not a regular file"):
        open_key(tmp_path, PASSPHRASE)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyRefused, match="not a regular file"):
        open_key(tmp_path / "pipe", PASSPHRASE)
    with pytest.raises(KeyRefused, match="No such file"):
        open_key(tmp_path / "nothing", PASSPHRASE)


def test_a_key_never_replaces_anything(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "k", tmp_path / "elsewhere"
    key().save(path, PASSPHRASE)
    before = path.read_bytes()
    with pytest.raises(KeyRefused, match="never overwritten"):
        key(which="other").save(path, PASSPHRASE)
    assert path.read_bytes() == before
    (tmp_path / "link").symlink_to(elsewhere)
    with pytest.raises(KeyRefused, match="never overwritten"):
        key().save(tmp_path / "link", PASSPHRASE)
    assert inside(tmp_path) == ["k", "link"]


def test_a_key_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyRefused, match="No such file"):
        key().save(tmp_path / "missing" / "k", PASSPHRASE)

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(KeyRefused, match="No space left"):
        key().save(tmp_path / "k", PASSPHRASE)
    assert inside(tmp_path) == []


def test_the_file_is_private_from_its_first_octet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    really_open = os.open

    def watched(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = really_open(path, flags, mode)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    mask = os.umask(0)
    try:
        key().save(tmp_path / "k", PASSPHRASE)
    finally:
        os.umask(mask)
    assert modes == [0o600]


def write(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    path.chmod(0o600)
    return path


def test_files_that_hold_no_encrypted_key(tmp_path: Path) -> None:
    plain = private().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(KeyRefused, match="not an encrypted"):
        open_key(write(tmp_path / "plain", plain), PASSPHRASE)
    with pytest.raises(KeyRefused, match="not an encrypted"):
        open_key(write(tmp_path / "empty", b""), PASSPHRASE)
    with pytest.raises(KeyRefused, match="too large"):
        open_key(write(tmp_path / "large", bytes(70_000)), PASSPHRASE)
    key().save(tmp_path / "k", PASSPHRASE)
    damaged = (tmp_path / "k").read_bytes().replace(b"\n", b"\nA", 2)
    with pytest.raises(KeyRefused, match="damaged"):
        open_key(write(tmp_path / "damaged", damaged), PASSPHRASE)


def test_a_key_that_another_program_encrypted(tmp_path: Path) -> None:
    text = private().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))
    assert open_key(write(tmp_path / "k", text), PASSPHRASE).public_key == key().public_key


@pytest.mark.parametrize(
    ("private_key", "words"),
    [
        (rsa.generate_private_key(65537, 1024), "1024 bits"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1 is not supported"),
        (dsa.generate_private_key(1024), "not supported"),
    ],
)
def test_kinds_and_sizes_that_an_authority_does_not_use(
    private_key: rsa.RSAPrivateKey, words: str, tmp_path: Path
) -> None:
    text = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE))
    with pytest.raises(KeyRefused, match=words):
        open_key(write(tmp_path / "k", text), PASSPHRASE)
    with pytest.raises(KeyRefused, match=words):
        FileKey(private_key)


@pytest.mark.parametrize("bits", [1024, 2047, 2049, 4104, 0])
def test_sizes_that_are_not_made(bits: int) -> None:
    with pytest.raises(KeyRefused, match=f"{bits} bits"):
        generate(KeyAlgorithm.RSA, bits)


def test_only_rsa_has_a_choice_of_size() -> None:
    assert generate(KeyAlgorithm.RSA, 2048).public_key.key_size == 2048  # type: ignore[union-attr]  # it is RSA
    with pytest.raises(KeyRefused, match="no choice of size"):
        generate(KeyAlgorithm.P256, 256)


@pytest.mark.parametrize("passphrase", [b"", b"x" * 1025])
def test_passphrases_are_bounded(passphrase: bytes, tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match="1 to 1024"):
        key().save(tmp_path / "k", passphrase)
    with pytest.raises(KeyRefused, match="1 to 1024"):
        open_key(tmp_path / "k", passphrase)


def test_what_is_saved_is_what_cryptography_reads(tmp_path: Path) -> None:
    key().save(tmp_path / "k", PASSPHRASE)
    loaded = load_pem_private_key((tmp_path / "k").read_bytes(), PASSPHRASE)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    assert loaded.public_key() == key().public_key
