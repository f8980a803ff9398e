//! Where secrets come from: the configuration itself, the environment, a file.
//! A secret is never part of an error, and leaves here in a `SecretString` only.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::section::{Item, Problem, Section};
use super::source::read_text;
use super::{Account, Secrets};

const MOST_BYTES: u64 = 64 * 1024;

/// What secrets are looked up with.
pub(super) struct Vault<'a> {
    secrets: Secrets,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// Files in which a secret stood.
    holders: RefCell<BTreeSet<PathBuf>>,
}

impl<'a> Vault<'a> {
    pub(super) fn new(secrets: Secrets, env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { secrets, env, holders: RefCell::default() }
    }

    /// Files with secrets that everybody on this system may read.
    pub(super) fn exposed(&self) -> Vec<PathBuf> {
        self.holders.borrow().iter().filter(|path| is_readable_by_all(path)).cloned().collect()
    }

    fn note_holder(&self, path: &Path) {
        self.holders.borrow_mut().insert(path.to_owned());
    }

    /// The user name of an instance and its account. That is `None` if there is none,
    /// it is wrong, or secrets are not wanted.
    pub(super) fn account(&self, section: &mut Section<'_, '_>) -> (Option<String>, Option<Account>) {
        let user = section.take("username");
        let username = user.as_ref().and_then(|item| section.parse(item, super::value::user_name));
        let password = self.secret(section, ["password", "password_file"], Ok);
        let totp = self.secret(section, ["totp_secret", "totp_secret_file"], base32);
        match (&user, &password) {
            (Some(user), None) => {
                let problem = "stands without a password; write password_file (or password) beside it";
                section.report(&user.place, &user.key, problem.to_owned());
            }
            (None, _) => {
                for lonely in [&password, &totp].into_iter().flatten() {
                    let problem = "stands without a username; write one beside it";
                    section.report(&lonely.place, &lonely.key, problem.to_owned());
                }
            }
            (Some(_), Some(_)) => {}
        }
        let password = password.and_then(|password| password.secret);
        let totp = totp.and_then(|totp| totp.secret);
        let account = username.clone().zip(password).map(|(username, password)| Account { username, password, totp });
        (username, account)
    }

    /// What stands under one of two keys, of a table that has no other secret.
    pub(super) fn value(
        &self,
        section: &mut Section<'_, '_>,
        keys: [&'static str; 2],
        check: fn(String) -> Result<String, String>,
    ) -> Lookup {
        match self.secret(section, keys, check) {
            None => Lookup::Absent,
            Some(Given { secret: Some(secret), .. }) => Lookup::Found(secret),
            Some(_) if self.secrets == Secrets::Skip => Lookup::Skipped,
            Some(_) => Lookup::Wrong,
        }
    }

    /// Names of headers with their values, each of which may be a secret: given as it is,
    /// as `${NAME}`, or under the name with `_file` at its end.
    pub(super) fn headers(&self, section: &mut Section<'_, '_>) -> Vec<(String, SecretString)> {
        let source = section.source();
        let directory = source.directory();
        let seen = RefCell::new(BTreeSet::new());
        let headers = section.rest(|name, item| {
            let header = name.strip_suffix("_file");
            let value = match header {
                Some(_) => self.read(item, |file| self.file(file, directory), header_text),
                None => self.read(item, |text| self.inline(text, source.path()), header_text),
            };
            let header = super::value::header_name(header.unwrap_or(name))?;
            if !seen.borrow_mut().insert(header.to_ascii_lowercase()) {
                return Err("stands there twice, for headers know no capitals; leave one out".to_owned().into());
            }
            Ok((header, value?))
        });
        headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Users with what they are known by, each given as it is, as `${NAME}`, or under the
    /// user's name with `_file` at its end. `check` gives the form in which it is kept.
    pub(super) fn users(
        &self,
        section: &mut Section<'_, '_>,
        check: fn(String) -> Result<String, String>,
    ) -> Vec<(String, SecretString)> {
        let source = section.source();
        let directory = source.directory();
        let seen = RefCell::new(BTreeSet::new());
        let users = section.rest(|name, item| {
            let of_a_file = name.strip_suffix("_file");
            let user = super::value::login(of_a_file.unwrap_or(name))?;
            if !seen.borrow_mut().insert(user.clone()) {
                return Err(format!("gives {user:?} a second time; write it once").into());
            }
            let secret = match of_a_file {
                Some(_) => self.read(item, |file| self.file(file, directory), check),
                None => self.read(item, |text| self.inline(text, source.path()), check),
            };
            Ok((user, secret?))
        });
        // Where secrets are not wanted nobody is ever asked for one.
        users.into_iter().map(|(user, secret)| (user, secret.unwrap_or_default())).collect()
    }

    /// Where a file lies that is named like that of a secret.
    pub(super) fn path(&self, name: &str, directory: &Path) -> PathBuf {
        let credential = self.credential(name).filter(|path| path.exists());
        credential.unwrap_or_else(|| directory.join(name))
    }

    pub(super) fn secrets(&self) -> Secrets {
        self.secrets
    }

    /// The secret under one of two keys: itself or `${NAME}`, or the name of a file.
    /// `check` gives the form in which it is kept.
    fn secret(
        &self,
        section: &mut Section<'_, '_>,
        [inline, file]: [&'static str; 2],
        check: fn(String) -> Result<String, String>,
    ) -> Option<Given> {
        let (inline_item, file_item) = (section.take(inline), section.take(file));
        if let (Some(_), Some(item)) = (&inline_item, &file_item) {
            let problem = format!("stands beside {inline}; write one of the two");
            section.report(&item.place, &item.key, problem);
        }
        let source = section.source();
        let directory = source.directory();
        let (item, secret) = if let Some(item) = inline_item {
            let secret = section.parse(&item, |item| self.read(item, |text| self.inline(text, source.path()), check));
            (item, secret)
        } else {
            let item = file_item?;
            let secret = section.parse(&item, |item| self.read(item, |name| self.file(name, directory), check));
            (item, secret)
        };
        Some(Given { place: item.place, key: item.key, secret: secret.flatten() })
    }

    fn read(
        &self,
        item: &Item<'_>,
        find: impl Fn(&str) -> Result<String, String>,
        check: fn(String) -> Result<String, String>,
    ) -> Result<Option<SecretString>, Problem> {
        let text = item.string()?;
        if self.secrets == Secrets::Skip {
            return Ok(None);
        }
        Ok(Some(SecretString::from(find(text).and_then(check)?)))
    }

    fn inline(&self, text: &str, holder: &Path) -> Result<String, String> {
        match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if is_variable(name) => (self.env)(name)
                .filter(|secret| !secret.is_empty())
                .ok_or_else(|| format!("the variable {name} of the environment is empty, or is not there")),
            Some(_) => Err("${…} holds no name of a variable; write it like ${PEERTUBE_PASSWORD}".to_owned()),
            None if text.is_empty() => Err("is empty; write the secret, or leave the key out".to_owned()),
            None => {
                self.note_holder(holder);
                Ok(text.to_owned())
            }
        }
    }

    fn file(&self, name: &str, directory: &Path) -> Result<String, String> {
        if name.is_empty() {
            return Err("is empty; write the name of a file, or leave the key out".to_owned());
        }
        let path = self.path(name, directory);
        let mut secret = read_text(&path, MOST_BYTES).map_err(|problem| match self.credential(name) {
            Some(credential) if credential != path => {
                format!("{} {problem}; nor is there {}", path.display(), credential.display())
            }
            _ => format!("{} {problem}", path.display()),
        })?;
        self.note_holder(&path);
        if secret.ends_with('\n') {
            secret.pop();
            if secret.ends_with('\r') {
                secret.pop();
            }
        }
        if secret.is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(secret) }
    }

    /// Where systemd would have put a credential of that name.
    fn credential(&self, name: &str) -> Option<PathBuf> {
        let bare = !name.contains('/') && name != "." && name != "..";
        let directory = (self.env)("CREDENTIALS_DIRECTORY").filter(|_| bare)?;
        Some(Path::new(&directory).join(name))
    }
}

/// A secret that the configuration gives; itself absent if it is wrong or not wanted.
struct Given {
    place: Range<usize>,
    key: String,
    secret: Option<SecretString>,
}

/// What became of looking for a secret.
pub(super) enum Lookup {
    Absent,
    /// That has been told.
    Wrong,
    /// Secrets are not wanted.
    Skipped,
    Found(SecretString),
}

impl Lookup {
    pub(super) fn found(self) -> Option<SecretString> {
        match self {
            Self::Found(secret) => Some(secret),
            Self::Absent | Self::Wrong | Self::Skipped => None,
        }
    }
}

/// Whether all may read a file, and enter each directory on the way to it.
fn is_readable_by_all(path: &Path) -> bool {
    let allows = |path: &Path, mode: u32| {
        let metadata: Option<Metadata> = path.metadata().ok();
        metadata.is_some_and(|metadata| metadata.mode() & mode == mode)
    };
    let Ok(path) = path.canonicalize() else { return false };
    allows(&path, 0o004) && path.ancestors().skip(1).all(|directory| allows(directory, 0o001))
}

fn header_text(text: String) -> Result<String, String> {
    let is_text = text.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f));
    if is_text { Ok(text) } else { Err("holds a character that no header can, such as a line end".to_owned()) }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The key of one-time passwords as applications show it, in groups and in any case.
fn base32(text: String) -> Result<String, String> {
    let letters: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let letters = letters.trim_end_matches('=').to_ascii_uppercase();
    if !letters.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)) {
        return Err("is no base32: it holds something else than the letters A to Z and the digits 2 to 7".to_owned());
    }
    // Five bits a letter: these lengths end within a byte that nothing completes.
    if letters.len() < 16 || matches!(letters.len() % 8, 1 | 3 | 6) {
        return Err(format!(
            "has {} letters, which is no length of a base32 secret of at least 16; is it cut off?",
            letters.len()
        ));
    }
    Ok(letters)
}
