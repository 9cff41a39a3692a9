//! The Supabase project, as far as the control plane's health depends on it.

use std::fmt;

use trunkline_base::Secret;
use trunkline_control::{health::Dependency, vendors::BoxFuture};
use url::Url;

/// A project, by its address.
pub(crate) struct Supabase {
    http: reqwest::Client,
    health: Url,
    key: Secret,
}

impl Supabase {
    /// `None` if the address has no room for a path.
    pub(crate) fn new(http: reqwest::Client, url: &Url, key: Secret) -> Option<Self> {
        let mut health = url.clone();
        health.path_segments_mut().ok()?.pop_if_empty().extend(["auth", "v1", "health"]);
        Some(Self { http, health, key })
    }

    async fn ask(&self) -> bool {
        let mut request = self.http.get(self.health.clone());
        if !self.key.is_empty() {
            request = request.header("apikey", self.key.expose());
        }
        match request.send().await {
            // Without a key, the gateway answers that one is missing: then it is there, and no more is known.
            Ok(answer) => answer.status().is_success() || (self.key.is_empty() && answer.status() == 401),
            Err(_) => false,
        }
    }
}

impl Dependency for Supabase {
    fn is_alive(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.ask())
    }
}

impl fmt::Debug for Supabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supabase").field("health", &self.health.as_str()).finish_non_exhaustive()
    }
}
