//! Vendors that do as they are told.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, RwLock};
use trunkline_base::Secret;

use crate::{
    vault::Fields,
    vendors::{BoxFuture, Provider, Renewed, Session, Speech, VendorError, VendorErrorKind, Vendors, Voice, Voices},
};

/// Knows which keys are good and who owns which number. A credential's key is its `api_key`, its `auth_token` or its `client_id`.
#[derive(Debug, Default)]
pub struct ScriptedVendors {
    keys: Mutex<BTreeMap<String, Fate>>,
    numbers: Mutex<BTreeMap<String, String>>,
    platform: Mutex<BTreeMap<Provider, String>>,
    /// The one refresh token that is good, by key.
    refresh_tokens: Mutex<BTreeMap<String, String>>,
    /// Whoever holds it for writing keeps renewals from ending.
    pub renewing: RwLock<()>,
    renewals: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    /// Told when somebody asks about a key that [hangs](Self::hang).
    pub hanging: Notify,
}

/// What becomes of a request with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    Fails(VendorErrorKind),
    Hangs,
}

impl ScriptedVendors {
    /// A key that works, for every vendor.
    pub fn accept(&self, key: &str) {
        self.set(key, Fate::Good);
    }

    /// A key that no longer works.
    pub fn revoke(&self, key: &str) {
        lock(&self.keys).remove(key);
    }

    /// A key with which requests fail in this way.
    pub fn fail(&self, key: &str, kind: VendorErrorKind) {
        self.set(key, Fate::Fails(kind));
    }

    /// A key with which requests are never answered.
    pub fn hang(&self, key: &str) {
        self.set(key, Fate::Hangs);
    }

    /// A number, and the key of the account that owns it.
    pub fn number(&self, e164: &str, key: &str) {
        lock(&self.numbers).insert(e164.to_owned(), key.to_owned());
    }

    /// The platform's own key.
    pub fn set_platform(&self, provider: Provider, key: &str) {
        lock(&self.platform).insert(provider, key.to_owned());
    }

    /// The refresh token that is good with a key. Each use makes another one good.
    pub fn refresh_token(&self, key: &str, token: &str) {
        lock(&self.refresh_tokens).insert(key.to_owned(), token.to_owned());
    }

    /// Renewals that came to an end, and the most that ran at once.
    pub fn renewals(&self) -> (usize, usize) {
        (self.renewals.load(Ordering::SeqCst), self.most_at_once.load(Ordering::SeqCst))
    }

    fn set(&self, key: &str, fate: Fate) {
        lock(&self.keys).insert(key.to_owned(), fate);
    }

    async fn check(&self, provider: Provider, fields: &Fields) -> Result<String, VendorError> {
        let key = key_of(fields);
        let fate = lock(&self.keys).get(&key).copied();
        match fate {
            Some(Fate::Good) => Ok(key),
            Some(Fate::Hangs) => {
                self.hanging.notify_one();
                std::future::pending().await
            }
            Some(Fate::Fails(kind)) => {
                Err(VendorError { provider, kind, explanation: "as it was told.".into(), status: None, code: None })
            }
            None => Err(wrong_key(provider)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_of(fields: &Fields) -> String {
    let key = ["api_key", "auth_token", "client_id"].into_iter().find_map(|name| fields.get(name));
    key.map_or_else(String::new, |key| key.expose().to_owned())
}

fn wrong_key(provider: Provider) -> VendorError {
    VendorError {
        provider,
        kind: VendorErrorKind::WrongKey,
        explanation: "the key is not valid".into(),
        status: Some(401),
        code: None,
    }
}

impl Vendors for ScriptedVendors {
    fn probe<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        session: Option<&'a Session>,
    ) -> BoxFuture<'a, Result<(), VendorError>> {
        Box::pin(async move {
            let key = self.check(provider, fields).await?;
            let renewed = self.is_renewed(provider, fields);
            let fits = session.map(|session| session.token.expose().to_owned())
                == renewed.then(|| format!("session of {key}"));
            if fits { Ok(()) } else { Err(wrong_key(provider)) }
        })
    }

    fn is_renewed(&self, _provider: Provider, fields: &Fields) -> bool {
        fields.get("flow").is_some_and(|flow| flow.expose() == "refresh_token")
    }

    fn renew<'a>(&'a self, provider: Provider, fields: &'a Fields) -> BoxFuture<'a, Result<Renewed, VendorError>> {
        Box::pin(async move {
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            let open = self.renewing.read().await;
            let key = key_of(fields);
            let given = fields.get("refresh_token").map(|token| token.expose().to_owned());
            let token = {
                let mut good = lock(&self.refresh_tokens);
                let is_good = good.get(&key).cloned() == given;
                let next = given.map(|token| format!("{token}'")).filter(|_| is_good);
                if let Some(next) = &next {
                    good.insert(key.clone(), next.clone());
                }
                next
            };
            drop(open);
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            self.renewals.fetch_add(1, Ordering::SeqCst);
            let token = token.ok_or_else(|| wrong_key(provider))?;
            let session =
                Session { token: Secret::new(format!("session of {key}")), address: "https://acme.example.com".into() };
            Ok(Renewed { session, replaced: vec![("refresh_token", Secret::new(token))] })
        })
    }

    fn owns_number<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        e164: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, VendorError>> {
        Box::pin(async move {
            let key = self.check(provider, fields).await?;
            let numbers = lock(&self.numbers);
            Ok(numbers.get(e164).filter(|owner| **owner == key).map(|_| format!("PN{}", &e164[1..])))
        })
    }

    fn platform(&self, provider: Provider) -> Option<Fields> {
        let key = lock(&self.platform).get(&provider).cloned()?;
        Some(Fields::from_iter([("api_key".to_owned(), Secret::new(key))]))
    }

    /// Three, which are named after the key.
    fn voices<'a>(&'a self, provider: Provider, fields: &'a Fields) -> BoxFuture<'a, Result<Voices, VendorError>> {
        Box::pin(async move {
            let key = self.check(provider, fields).await?;
            let voice = |n: u8| Voice {
                voice_id: format!("v{n}"),
                name: format!("{key} {n}"),
                category: Some("premade".into()),
                description: None,
                languages: vec!["en".into()],
                preview_url: Some(format!("https://audio.example.com/v{n}.mp3")),
                labels: BTreeMap::from([("gender".into(), "female".into())]),
            };
            Ok(Voices { voices: (1..=3).map(voice).collect(), more: false })
        })
    }

    fn speak<'a>(
        &'a self,
        provider: Provider,
        fields: &'a Fields,
        speech: &'a Speech,
    ) -> BoxFuture<'a, Result<Vec<u8>, VendorError>> {
        Box::pin(async move {
            let key = self.check(provider, fields).await?;
            let Speech { voice_id, text, model, language } = speech;
            let language = language.as_deref().unwrap_or("any language");
            Ok(format!("{key} says in {voice_id} with {model} and {language}: {}", text.expose()).into_bytes())
        })
    }

    fn check_url<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { if url.contains("169.254.") { Err("points inside".into()) } else { Ok(()) } })
    }
}
