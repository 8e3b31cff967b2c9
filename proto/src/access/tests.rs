//! What becomes of access files, whole and broken.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn access() -> Access {
    Access {
        role: Role::Worker,
        addresses: vec![Address("one:7464".to_owned()), Address("[::1]:80".to_owned())],
        authority: "authority\nof two lines\n".to_owned(),
        certificate: "certificate".to_owned(),
        key: "key".to_owned(),
    }
}

#[test]
fn a_file_is_read_as_it_was_written_and_nobody_else_can() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("worker.access");
    access().write(&path)?;
    access().write(&path)?;
    assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(Access::read(&path, Role::Worker)?, access());
    assert_eq!(fs::read_dir(&folder)?.count(), 1);
    Ok(())
}

#[test]
fn what_is_wrong_with_a_file_is_said_in_clear_words() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x");
    let said = |role| Access::read(&path, role).map_err(|error| error.to_string()).err().unwrap_or_default();
    assert!(said(Role::Client).contains("there is no access file"), "{}", said(Role::Client));
    access().write(&path)?;
    assert!(
        said(Role::Client).contains("is for a worker, and a client's is needed"),
        "{}",
        said(Role::Client)
    );
    for (content, why) in [
        (&b"key = [secret"[..], "not an access file"),
        (b"\xff\xfe", "it is not text"),
        (b"", "missing field"),
    ] {
        write_private(&path, "")?;
        fs::write(&path, content)?;
        assert!(said(Role::Worker).contains(why), "{}", said(Role::Worker));
        assert!(!said(Role::Worker).contains("secret"), "{}", said(Role::Worker));
    }
    fs::set_permissions(&path, Permissions::from_mode(0o640))?;
    assert!(said(Role::Worker).contains("chmod 600"), "{}", said(Role::Worker));
    Ok(())
}

#[test]
fn addresses_have_a_host_and_a_port() {
    for (text, address) in [
        ("host", "host:7464"),
        ("host:1", "host:1"),
        ("10.0.0.1", "10.0.0.1:7464"),
        ("[::1]", "[::1]:7464"),
        ("[::1]:5", "[::1]:5"),
    ] {
        assert_eq!(text.parse(), Ok(Address(address.to_owned())), "{text}");
    }
    for text in
        ["", ":1", "host:", "host:port", "host:0", "host:70000", "a b", "user@host", "http://host", "::1"]
    {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}
