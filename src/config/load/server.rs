//! `[server]`: where it listens, and who is let in. A key that would let in nobody, or
//! everybody, by mistake is an error.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use bcrypt::HashParts;

use crate::certificates::{self, Files, Part};
use crate::config::secret::Vault;
use crate::config::section::{Item, Problem, Section};
use crate::config::value::{self, quoted};
use crate::config::{Secrets, Server};

/// Below, a stolen hash is soon guessed; above, each look at a password takes seconds.
const COSTS: std::ops::RangeInclusive<u32> = 10..=14;
const HOW_TO_HASH: &str = r#"make one by htpasswd -nBC 12 "" | tr -d ':\n'"#;

/// Shorter ones can be guessed.
const SHORTEST_TOKEN: usize = 16;

pub(super) fn server(section: &mut Section<'_, '_>, vault: &Vault<'_>) -> Server {
    let reload = section.take("reload");
    // What is wrong with a credential is told by itself.
    let is_open =
        !["basic_auth", "bearer_token", "bearer_token_file", "tls_client_ca_file"].iter().any(|key| section.has(key));
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 9797));
    let listen = section.get("listen", value::listen).unwrap_or(default);
    let tls = tls(section, vault);
    let users = match section.has("basic_auth") {
        true => section.table("basic_auth", |section| {
            let users = vault.users(section, bcrypt_hash);
            if users.is_empty() && section.is_clean() {
                section.report_itself(r#"names nobody; write a user with a hash, or leave it out"#.to_owned());
            }
            users
        }),
        false => section.table("basic_auth", |_| Vec::new()),
    };
    let server = Server {
        listen,
        tls,
        users: users.into_iter().collect(),
        bearer_token: vault.value(section, ["bearer_token", "bearer_token_file"], bearer_token).found(),
        protect_health: section.get("protect_health", |item| item.boolean()).unwrap_or(false),
        hosts: section.get("hosts", hosts).unwrap_or_default(),
        reload: false,
    };
    let reload = reload.and_then(|item| {
        section.parse(&item, |item| match item.boolean()? {
            true if is_open => {
                Err("would obey whoever reaches it; write basic_auth, bearer_token or tls_client_ca_file beside it"
                    .to_owned()
                    .into())
            }
            reload => Ok(reload),
        })
    });
    Server { reload: reload.unwrap_or(false), ..server }
}

/// The files are read, to see that they fit, unless secrets are not wanted.
fn tls(section: &mut Section<'_, '_>, vault: &Vault<'_>) -> Option<Files> {
    let [cert, key, client_ca] = ["tls_cert_file", "tls_key_file", "tls_client_ca_file"].map(|key| section.take(key));
    for (one, other, name) in [(&cert, &key, "tls_key_file"), (&key, &cert, "tls_cert_file")] {
        if let (Some(item), None) = (one, other) {
            section.report(&item.place, &item.key, format!("stands without {name}; write it beside"));
        }
    }
    if let (Some(item), None, None) = (&client_ca, &cert, &key) {
        let problem = "stands without tls_cert_file and tls_key_file; clients show certificates over TLS only";
        section.report(&item.place, &item.key, problem.to_owned());
    }
    let (cert, key) = (cert?, key?);
    let paths = (path(section, vault, &cert), path(section, vault, &key));
    let client_ca_path = match &client_ca {
        Some(item) => Some(path(section, vault, item)?),
        None => None,
    };
    let files = Files { cert: paths.0?, key: paths.1?, client_ca: client_ca_path };
    if vault.secrets() == Secrets::Read
        && let Err(error) = certificates::load(&files)
    {
        let item = match (error.part, &client_ca) {
            (Part::ClientCa, Some(item)) => item,
            (Part::Key, _) => &key,
            (Part::Cert | Part::ClientCa, _) => &cert,
        };
        section.report(&item.place, &item.key, error.to_string());
        return None;
    }
    // Absolute, so that they stay the same files wherever the process goes.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    Some(Files { cert: absolute(files.cert), key: absolute(files.key), client_ca: files.client_ca.map(absolute) })
}

fn path<'s>(section: &mut Section<'s, '_>, vault: &Vault<'_>, item: &Item<'s>) -> Option<PathBuf> {
    let directory = section.source().directory();
    section.parse(item, |item| match item.string()? {
        "" => Err("is empty; write the name of a file, or leave the key out".to_owned().into()),
        name => Ok(vault.path(name, directory)),
    })
}

fn bcrypt_hash(text: String) -> Result<String, String> {
    let hash = HashParts::from_str(&text).ok().filter(|_| !text.starts_with("$2x"));
    let cost = hash.ok_or_else(|| format!("is no bcrypt hash; {HOW_TO_HASH}"))?.get_cost();
    if COSTS.contains(&cost) {
        return Ok(text);
    }
    let (least, most) = (COSTS.start(), COSTS.end());
    Err(format!("is a bcrypt hash of the cost {cost}; it must be {least} to {most}: {HOW_TO_HASH}"))
}

/// What a header can carry as a bearer token, by RFC 6750.
fn bearer_token(text: String) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if !text.bytes().all(allowed) {
        return Err("holds something else than letters, digits and -._~+/=; make one by openssl rand -hex 32".into());
    }
    if text.len() < SHORTEST_TOKEN {
        return Err(format!("is shorter than {SHORTEST_TOKEN} characters; make one by openssl rand -hex 32"));
    }
    Ok(text)
}

/// Names of hosts, without ports, in lower case; `*` for all.
fn hosts(item: &Item<'_>) -> Result<Vec<String>, Problem> {
    let names = item.strings()?.into_iter().map(|(name, place)| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let is_name = (1..=253).contains(&name.len()) && name.bytes().all(allowed) && !name.ends_with('.');
        if is_name || name == "*" || name.parse::<IpAddr>().is_ok() {
            return Ok(name.to_ascii_lowercase());
        }
        let how = r#"write it without scheme and port, like "metrics.example.com", or "*" for any"#;
        Err(Problem { place: Some(place), text: format!("{} is no name of a host; {how}", quoted(name)) })
    });
    names.collect()
}
