//! From a credential's fields and the operator's settings to what each vendor's adapter takes: where, and as whom.

use trunkline_base::Secret;
use trunkline_control::{credentials::private_key, vault::Fields, vendors::Provider};
use trunkline_media::{
    net::BaseUrl,
    telephony::{
        twilio::rest::TwilioAuth,
        vonage::{VonageHosts, account::VonageAuth},
    },
    tools::salesforce::{Flow, Org},
};

pub(crate) use super::Failure;
use crate::config;

/// Twilio's default address, whose regions have names of their own.
pub(super) const TWILIO: &str = "https://api.twilio.com";

/// The credential's own address, or else the operator's.
pub(crate) fn base_url(settings: &config::Vendors, provider: Provider, fields: &Fields) -> BaseUrl {
    let configured = match provider {
        Provider::Openai => &settings.openai_base_url,
        Provider::Claude => &settings.anthropic_base_url,
        Provider::Deepgram => &settings.deepgram_base_url,
        Provider::Elevenlabs => &settings.elevenlabs_base_url,
        Provider::Twilio => &settings.twilio_base_url,
        Provider::Vonage => &settings.vonage_base_url,
        // Its organisations have addresses of their own: see `org`.
        Provider::Salesforce => settings.salesforce_login_url.as_ref().map_or("", |url| url.as_str()),
    };
    match fields.get("endpoint_url") {
        Some(url) => BaseUrl::user(url.expose()),
        None => BaseUrl::operator(configured.trim_end_matches('/')),
    }
}

/// Where a Twilio account's API is: `api.{edge}.{region}.twilio.com` for one with a region, unless the operator has it elsewhere.
pub(crate) fn twilio_base(settings: &config::Vendors, fields: &Fields) -> Result<BaseUrl, Failure> {
    let base = base_url(settings, Provider::Twilio, fields);
    let (region, edge) = (fields.get("region"), fields.get("edge"));
    if base != BaseUrl::operator(TWILIO) || (region.is_none() && edge.is_none()) {
        return Ok(base);
    }
    // Twilio's own defaults for the one that is not given.
    let region = region.map_or("us1", Secret::expose);
    let edge = edge.map_or("ashburn", Secret::expose);
    let is_label = |name: &str| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !is_label(region) || !is_label(edge) {
        return Err(Failure::Region);
    }
    Ok(BaseUrl::operator(format!("https://api.{edge}.{region}.twilio.com")))
}

/// Where a Vonage account is.
pub(crate) fn vonage_hosts(settings: &config::Vendors, fields: &Fields) -> VonageHosts {
    VonageHosts::at(base_url(settings, Provider::Vonage, fields))
}

/// Where an organisation of Salesforce's is.
pub(super) fn org(settings: &config::Vendors, fields: &Fields) -> Result<Org, Failure> {
    let operator = settings.salesforce_login_url.as_ref().map(url::Url::as_str);
    Ok(Org::new(required(fields, "my_domain")?.expose(), operator)?)
}

pub(crate) fn required<'a>(fields: &'a Fields, name: &'static str) -> Result<&'a Secret, Failure> {
    fields.get(name).ok_or(Failure::Missing(name))
}

fn text(fields: &Fields, name: &'static str) -> Result<String, Failure> {
    Ok(required(fields, name)?.expose().to_owned())
}

/// Twilio's account itself, by its token.
pub(crate) fn twilio_token(fields: &Fields) -> Result<TwilioAuth, Failure> {
    Ok(TwilioAuth { user: text(fields, "account_sid")?, password: required(fields, "auth_token")?.clone() })
}

/// Twilio's API key, if the credential has one.
pub(crate) fn twilio_key(fields: &Fields) -> Result<Option<TwilioAuth>, Failure> {
    match (fields.get("api_key_sid"), fields.get("api_key_secret")) {
        (Some(sid), Some(secret)) => Ok(Some(TwilioAuth { user: sid.expose().to_owned(), password: secret.clone() })),
        (Some(_), None) => Err(Failure::Missing("api_key_secret")),
        (None, Some(_)) => Err(Failure::Missing("api_key_sid")),
        (None, None) => Ok(None),
    }
}

pub(crate) fn vonage_auth(fields: &Fields) -> Result<VonageAuth, Failure> {
    Ok(VonageAuth {
        api_key: text(fields, "api_key")?,
        api_secret: required(fields, "api_secret")?.clone(),
        application_id: text(fields, "application_id")?,
        private_key: required(fields, "private_key")?.clone(),
    })
}

/// The flow that a credential of Salesforce's names.
pub(super) fn flow(fields: &Fields) -> Result<Flow, Failure> {
    let secret = |name| required(fields, name).cloned();
    match required(fields, "flow")?.expose() {
        "client_credentials" => Ok(Flow::ClientCredentials { client_secret: secret("client_secret")? }),
        "jwt_bearer" => {
            Ok(Flow::JwtBearer { username: text(fields, "username")?, private_key: secret("private_key")? })
        }
        "refresh_token" => Ok(Flow::RefreshToken {
            client_secret: fields.get("client_secret").cloned(),
            refresh_token: secret("refresh_token")?,
        }),
        _ => Err(Failure::Missing("flow")),
    }
}

/// The fields of the platform's own credential, if all that it needs is set.
pub(crate) fn platform(settings: &config::Vendors, provider: Provider) -> Option<Fields> {
    let text = |text: &String| Secret::new(text.as_str());
    let fields = match provider {
        Provider::Openai => vec![("api_key", settings.openai_api_key.clone())],
        Provider::Claude => vec![("api_key", settings.anthropic_api_key.clone())],
        Provider::Deepgram => vec![("api_key", settings.deepgram_api_key.clone())],
        Provider::Elevenlabs => vec![("api_key", settings.elevenlabs_api_key.clone())],
        Provider::Twilio => vec![
            ("account_sid", text(&settings.twilio_account_sid)),
            ("auth_token", settings.twilio_auth_token.clone()),
        ],
        Provider::Vonage => vec![
            ("api_key", text(&settings.vonage_api_key)),
            ("api_secret", settings.vonage_api_secret.clone()),
            ("application_id", text(&settings.vonage_application_id)),
            ("private_key", private_key(&settings.vonage_private_key).ok()?),
            ("signature_secret", settings.vonage_signature_secret.clone()),
        ],
        // An organisation is a tenant's own.
        Provider::Salesforce => return None,
    };
    let complete = fields.iter().all(|(_, value)| !value.is_empty());
    complete.then(|| Fields::default().with(fields))
}
