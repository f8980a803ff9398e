//! Where secrets come from, and that they stay inside.

use std::fs;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use tubewarden::config::{Account, Config, Secrets};

use super::{INSTANCE, files, load};

const TOTP: &str = "JBSWY3DPEHPK3PXP";

/// A configuration whose instance has these lines, in a directory with a password.
fn with_account(lines: &str) -> TempDir {
    files(&[
        ("config.toml", &format!("{INSTANCE}username = 'monitor'\n{lines}\n")),
        ("password", "from the file\n"),
        ("totp", " jbsw y3dp\tehpk 3pxp==\r\n"),
        ("credentials/password", "from systemd\n"),
        ("credentials/only-there", "from systemd\r\n"),
        ("deep/windows", "line\r\n\r\n"),
    ])
}

fn account(directory: &TempDir) -> Account {
    let credentials = directory.path().join("credentials").display().to_string();
    let env = |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some(credentials.clone()),
        "PEERTUBE_PASSWORD" => Some("from the environment".to_owned()),
        "_T2" => Some(TOTP.to_owned()),
        _ => None,
    };
    let mut config = Config::load(&directory.path().join("config.toml"), Secrets::Read, &env).unwrap();
    config.instances.remove(0).account.unwrap()
}

fn password(lines: &str) -> String {
    account(&with_account(lines)).password.expose_secret().to_owned()
}

#[test]
fn a_secret_stands_in_the_configuration_in_the_environment_or_in_a_file() {
    assert_eq!(password("password = 'as it is'"), "as it is");
    assert_eq!(password("password = '${PEERTUBE_PASSWORD}'"), "from the environment");
    assert_eq!(password("password_file = './password'"), "from the file");
    // Only a whole value names a variable: a password may hold anything else.
    assert_eq!(password("password = 'a${PEERTUBE_PASSWORD}'"), "a${PEERTUBE_PASSWORD}");
    assert_eq!(password("password = '$PEERTUBE_PASSWORD'"), "$PEERTUBE_PASSWORD");
}

#[test]
fn a_bare_name_of_a_file_is_a_credential_first() {
    assert_eq!(password("password_file = 'password'"), "from systemd");
    assert_eq!(password("password_file = 'only-there'"), "from systemd");
    // Without a credential of that name it is a file like any other.
    let directory = with_account("password_file = 'beside'");
    fs::write(directory.path().join("beside"), "beside the configuration").unwrap();
    assert_eq!(account(&directory).password.expose_secret(), "beside the configuration");
}

#[test]
fn one_line_end_is_taken_from_a_file_and_nothing_else() {
    assert_eq!(password("password_file = 'deep/windows'"), "line\r\n");
}

#[test]
fn a_secret_of_an_included_file_is_relative_to_that_file() {
    let directory = files(&[
        ("config.toml", "include = ['conf.d/*.toml']\n"),
        ("conf.d/one.toml", &format!("{INSTANCE}username = 'monitor'\npassword_file = 'password'\n")),
        ("conf.d/password", "beside it"),
        ("password", "beside the main file"),
    ]);
    assert_eq!(account(&directory).password.expose_secret(), "beside it");
}

#[test]
fn a_secret_file_is_read_up_to_its_bound() {
    let directory = with_account("password_file = 'beside'");
    let path = directory.path().join("beside");
    fs::write(&path, "x".repeat(64 * 1024)).unwrap();
    assert_eq!(account(&directory).password.expose_secret().len(), 64 * 1024);

    fs::write(&path, "x".repeat(64 * 1024 + 1)).unwrap();
    let error = load(&directory, Secrets::Read).unwrap_err().to_string();
    assert!(error.ends_with("beside is longer than 64 KiB, the most that is read"), "{error}");
}

#[test]
fn the_key_of_one_time_passwords_is_brought_into_one_form() {
    let totp = |line: &str| {
        let account = account(&with_account(&format!("password = 'p'\n{line}")));
        account.totp.map(|totp| totp.expose_secret().to_owned())
    };
    assert_eq!(totp("totp_secret = 'jbsw y3dp ehpk 3pxp'").unwrap(), TOTP);
    assert_eq!(totp("totp_secret = '${_T2}'").unwrap(), TOTP);
    assert_eq!(totp("totp_secret_file = 'totp'").unwrap(), TOTP);
    assert_eq!(totp(""), None);
}

#[test]
fn who_needs_no_secret_reads_none() {
    let lines = "password_file = '/nowhere/at/all'\ntotp_secret = '${NOT_SET}'";
    let directory = with_account(lines);
    assert!(load(&directory, Secrets::Read).is_err());
    let config = Config::load(&directory.path().join("config.toml"), Secrets::Skip, &|name| {
        panic!("{name} was looked up in the environment")
    });
    assert!(config.unwrap().instances[0].account.is_none());

    // What is wrong without looking at a secret is still told.
    let lonely = files(&[("config.toml", &format!("{INSTANCE}username = 'monitor'\n"))]);
    assert!(load(&lonely, Secrets::Skip).is_err());
}

#[test]
fn no_secret_shows_when_a_configuration_is_printed() {
    let directory = with_account(&format!("password = 'hunter2'\ntotp_secret = '{TOTP}'"));
    let printed = format!("{:?}", load(&directory, Secrets::Read).unwrap());
    assert!(printed.contains("monitor"), "the account is printed at all");
    assert!(!printed.contains("hunter2") && !printed.contains(TOTP), "{printed}");
}
