//! What a rule or a schedule does: exactly one of `webhook`, `exec` and `script`.

use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::rule::{Action, Does, ScriptAction};
use crate::config::secret::{Lookup, Vault};
use crate::config::section::{Item, Problem, Section};
use crate::config::source::read_text;
use crate::config::value::{self, quoted};
use crate::config::{Exec, Method, Patience, Webhook};
use crate::core::call::Allow;
use crate::core::glob::Globs;
use crate::core::lang::script::Script;
use crate::core::lang::{Template, Trial};
use crate::core::signing::SigningKey;

const KINDS: [&str; 3] = ["webhook", "exec", "script"];
const LONGEST_SCRIPT: u64 = 256 * 1024;
/// A bundle of all the certificates of a system has some 250 KB.
const LARGEST_CA_FILE: u64 = 4 << 20;

/// What an action is for, so that it can be tried on samples.
pub(super) struct For<'a> {
    /// Absent if it is wrong.
    pub(super) on: Option<&'a Globs>,
    pub(super) is_batch: bool,
}

pub(super) fn action(section: &mut Section<'_, '_>, of: &For<'_>, vault: &Vault<'_>) -> Option<Action> {
    let given: Vec<&str> = KINDS.into_iter().filter(|kind| section.has(kind)).collect();
    if given.len() != 1 {
        let problem = match given[..] {
            [] => "does nothing; write webhook.url, exec.command or script.file".to_owned(),
            _ => format!("has {}; write one of them, and another rule for the other", given.join(" and ")),
        };
        section.report_itself(problem);
    }
    let webhook = section.has("webhook").then(|| section.table("webhook", |section| webhook(section, of, vault)));
    let exec = section.has("exec").then(|| section.table("exec", exec));
    let script = section.has("script").then(|| section.table("script", |section| script(section, of)));
    // What is not there is asked for all the same, so that it is known.
    KINDS.into_iter().for_each(|kind| drop(section.take(kind)));
    if given.len() == 1 { webhook.or(exec).or(script)? } else { None }
}

fn webhook(section: &mut Section<'_, '_>, of: &For<'_>, vault: &Vault<'_>) -> Option<Action> {
    let url = match vault.value(section, ["url", "url_file"], address) {
        Lookup::Found(url) => Some(url),
        // Where secrets are not wanted nothing is ever sent.
        Lookup::Skipped => Some(SecretString::default()),
        Lookup::Wrong => None,
        Lookup::Absent => {
            section.report_itself("has no address; write webhook.url_file, or webhook.url".to_owned());
            None
        }
    };
    let methods = [("POST", Method::Post), ("PUT", Method::Put), ("PATCH", Method::Patch)];
    let method = section.get("method", |item| value::one_of(item, &methods)).unwrap_or_default();
    let content_type = section.get("content_type", |item| value::content_type(item).map(str::to_owned));
    let secrets = vault.value(section, ["secret", "secret_file"], signing_keys).found();
    let secrets = secrets.map(|keys| keys.expose_secret().split_whitespace().map(Into::into).collect());
    let headers = section.table("headers", |section| vault.headers(section));
    let proxy = vault.value(section, ["proxy", "proxy_file"], address).found();
    let directory = section.source().directory();
    let ca_file = section.get("ca_file", |item| {
        let path = directory.join(item.string()?);
        let text = read_text(&path, LARGEST_CA_FILE).map_err(|problem| format!("{} {problem}", path.display()))?;
        certificates(text.as_bytes()).map_err(|problem| format!("{} {problem}", path.display()))?;
        std::path::absolute(path).map_err(|error| format!("cannot find the working directory: {error}").into())
    });
    let is_json = content_type.as_deref().is_none_or(|kind| kind.contains("json"));
    let body = section.take("body");
    let body = match (of.on, body) {
        (Some(on), Some(item)) => section.parse(&item, |item| template(item, on, of.is_batch, is_json)).map(Some),
        _ => Some(None),
    };
    // What a template makes is no CloudEvent any more.
    let of_a_template = matches!(body, Some(Some(_))).then(|| "application/json".to_owned());
    let content_type = content_type.or(of_a_template);
    let patience = patience(section, Duration::from_secs(15));
    let webhook =
        Webhook { url: url?, method, content_type, headers, secrets: secrets.unwrap_or_default(), ca_file, proxy };
    Some(Action { does: Does::Webhook { webhook: Box::new(webhook), body: body? }, patience })
}

fn exec(section: &mut Section<'_, '_>) -> Option<Action> {
    let directory = section.source().directory();
    let command = section.require("command", r#"["/usr/local/bin/announce", "--now"]"#, |item| {
        let command = item.strings()?;
        match command.first() {
            None => Err("is empty; write the program and its arguments".to_owned().into()),
            Some(("", place)) => Err(Problem { place: Some(place.clone()), text: "names no program".to_owned() }),
            Some((program, _)) => {
                if let Some((_, place)) = command.iter().find(|(text, _)| text.contains('\0')) {
                    let text = "holds a NUL, which no command can".to_owned();
                    return Err(Problem { place: Some(place.clone()), text });
                }
                // One without a slash is sought in PATH.
                let program = match program.contains('/') {
                    true => std::path::absolute(directory.join(program)).unwrap_or_default().display().to_string(),
                    false => (*program).to_owned(),
                };
                Ok(std::iter::once(program).chain(command[1..].iter().map(|(text, _)| (*text).to_owned())).collect())
            }
        }
    });
    let patience = patience(section, Duration::from_secs(30));
    Some(Action { does: Does::Exec(Exec { command: command? }), patience })
}

fn script(section: &mut Section<'_, '_>, of: &For<'_>) -> Option<Action> {
    let directory = section.source().directory();
    let file = section.require("file", r#""rules/waiting.rhai""#, |item| {
        let name = item.string()?;
        let path = directory.join(name);
        let text = read_text(&path, LONGEST_SCRIPT).map_err(|problem| format!("{} {problem}", path.display()))?;
        let script =
            Script::compile(name, &text, of.is_batch).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok((name.into(), script))
    });
    let allow = section.get("allow", |item| {
        let parse = |(text, place): (&str, std::ops::Range<usize>)| {
            Allow::parse(text)
                .map_err(|problem| Problem { place: Some(place), text: format!("{}: {problem}", quoted(text)) })
        };
        item.strings()?.into_iter().map(parse).collect::<Result<Vec<_>, _>>()
    });
    let retry = section.get("retry", |item| item.boolean()).unwrap_or(false);
    let patience = patience(section, Duration::from_secs(30));
    let (file, script) = file?;
    let action = ScriptAction { file, script, allow: allow.unwrap_or_default(), retry };
    Some(Action { does: Does::Script(action), patience })
}

fn patience(section: &mut Section<'_, '_>, timeout: Duration) -> Patience {
    let otherwise = Patience { timeout, ..Patience::default() };
    let mut get = |key, limits, otherwise| section.get(key, |item| value::duration(item, limits)).unwrap_or(otherwise);
    let timeout = get("timeout", &value::ACTION_TIMEOUT, otherwise.timeout);
    let backoff = get("backoff", &value::BACKOFF, otherwise.backoff);
    let give_up = get("give_up", &value::GIVE_UP, otherwise.give_up);
    let max_backoff = section.get("max_backoff", |item| {
        let most = value::duration(item, &value::BACKOFF)?;
        if most < backoff {
            return Err(format!("is less than backoff, {backoff:?}; write as much at least").into());
        }
        Ok(most)
    });
    Patience { timeout, backoff, max_backoff: max_backoff.unwrap_or(otherwise.max_backoff.max(backoff)), give_up }
}

/// A template, tried on samples. What is said to be JSON has to be JSON.
fn template(item: &Item<'_>, on: &Globs, is_batch: bool, is_json: bool) -> Result<Template, Problem> {
    let trial = Trial::of(on);
    let template = Template::parse(item.string()?, &trial, is_batch).map_err(|error| error.to_string())?;
    if !is_json {
        return Ok(template);
    }
    for (kind, text) in template.sample_outputs(&trial).map_err(|error| error.to_string())? {
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            let problem = format!(
                "is no JSON for a {kind} event: {error}; write values as {{{{ … | tojson }}}}, without quotes \
                 around them, or another content_type"
            );
            return Err(problem.into());
        }
    }
    for (kind, text) in template.hostile_outputs(&trial).map_err(|error| error.to_string())? {
        if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
            let problem = format!(
                "is no JSON for a {kind} event with a quotation mark in its texts, which could say anything then; \
                 write values as {{{{ … | tojson }}}}, without quotes around them"
            );
            return Err(problem.into());
        }
    }
    Ok(template.of_json())
}

/// Whether a file holds certificates, and nothing but those.
fn certificates(pem: &[u8]) -> Result<(), String> {
    let none = || "holds no certificate in PEM; it should have -----BEGIN CERTIFICATE-----".to_owned();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| none())?;
        roots.add(certificate).map_err(|error| format!("holds a certificate that can't be used: {error}"))?;
    }
    if roots.is_empty() { Err(none()) } else { Ok(()) }
}

/// An address of http or https. It may be a secret, so it is never quoted.
fn address(text: String) -> Result<String, String> {
    let text = text.trim().to_owned();
    let how = r#"write it like "https://chat.example.com/hooks/1234""#;
    let url = Url::parse(&text).map_err(|_| format!("is no address; {how}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("is no address of http or https; {how}"));
    }
    Ok(text)
}

/// One key or several, a line each, while receivers go over to a new one.
fn signing_keys(text: String) -> Result<String, String> {
    for key in text.split_whitespace() {
        SigningKey::parse(key).map_err(|error| error.to_string())?;
    }
    match text.split_whitespace().count() {
        1..=4 => Ok(text),
        count => Err(format!("holds {count} secrets; write one to four, one a line")),
    }
}
