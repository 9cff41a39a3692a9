//! Failures in sentences for people: what is wrong, and what to do.

use trunkline_control::{
    vault::Fields,
    vendors::{Provider, VendorError, VendorErrorKind as Kind},
};
use trunkline_media::account::{AccountError, NoToken, Refusal, Unreachable};

use super::Failure;

/// What the control plane shows and remembers. It quotes no field of the credential and none of the vendor's prose.
pub(super) fn failure(provider: Provider, fields: &Fields, failure: Failure) -> VendorError {
    let name = name(provider);
    let told = |kind, explanation| VendorError { provider, kind, explanation, status: None, code: None };
    match failure {
        Failure::Account(error) => account(provider, fields.get("endpoint_url").is_some(), &error),
        Failure::Missing(field) => {
            told(Kind::MissingField, format!("The field {field} is not set. Add it to this credential."))
        }
        Failure::Region => told(
            Kind::AddressRefused,
            "Twilio's region or edge is not one of its names. Use names such as ie1 for the region and dublin for the edge, or \
             leave both empty."
                .into(),
        ),
        Failure::NoSession => told(
            Kind::Failed,
            format!("The credential of {name} has to be exchanged for a session first. Try again."),
        ),
        Failure::NoCarrier => told(
            Kind::Unsupported,
            format!("{name} is not a carrier and has no phone numbers. Choose a credential of the number's carrier."),
        ),
        Failure::NoVoices => told(
            Kind::Unsupported,
            format!("{name} makes no voices. Choose a credential of a vendor that does, such as ElevenLabs."),
        ),
    }
}

fn account(provider: Provider, is_user_given: bool, error: &AccountError) -> VendorError {
    let name = name(provider);
    let place = if is_user_given { "the endpoint URL of this credential".into() } else { format!("{name}'s address") };
    let (kind, explanation) = match error {
        AccountError::Address(refused) => {
            (Kind::AddressRefused, format!("The endpoint URL of this credential cannot be used: {refused}."))
        }
        AccountError::BaseUrl => (
            Kind::AddressRefused,
            format!("The address of {name} in this server's settings is not a URL. Its operator has to correct it."),
        ),
        AccountError::Key => (
            Kind::WrongKey,
            "A field of this credential holds characters that cannot be sent, such as a space or a line break. Copy it again."
                .into(),
        ),
        AccountError::Unreachable(how) => (Kind::Unreachable, unreachable(*how, &place)),
        AccountError::WrongKey(_) if provider == Provider::Twilio => (
            Kind::WrongKey,
            "Twilio refused the credential: the account SID does not go with the token or the API key, or the account is \
             suspended. Compare them with Twilio's console."
                .into(),
        ),
        AccountError::WrongKey(_) if provider == Provider::Vonage => (
            Kind::WrongKey,
            "Vonage refused the API key and secret: they do not belong together, or were replaced. Compare them with Vonage's \
             dashboard."
                .into(),
        ),
        AccountError::WrongKey(_) if provider == Provider::Salesforce => (
            Kind::WrongKey,
            "Salesforce gave a token, and its API does not take it. Look at the app's session policies, or authorise it again."
                .into(),
        ),
        AccountError::WrongKey(_) => (
            Kind::WrongKey,
            format!("{name} refused the key: it is wrong, revoked or expired. Copy it again, or make a new one there."),
        ),
        AccountError::NoPermission(_) => (
            Kind::NoPermission,
            format!("{name} knows the key, and it may not do what is needed. Give it {}.", permission(provider)),
        ),
        AccountError::Quota(refusal) => (
            Kind::Quota,
            format!(
                "The account with {name} is at a limit of its plan or its credit ({refusal}). Look at its usage and billing, or \
                 try again later."
            ),
        ),
        AccountError::NotThatVendor { status } => {
            let hint = match provider {
                Provider::Openai => " It is what /chat/completions follows, and mostly ends in /v1.",
                _ => "",
            };
            let answered = format!("Something answered at {place} with HTTP status {status}, and not as {name} does.");
            (Kind::NotThatVendor, format!("{answered} Check the address.{hint}"))
        }
        AccountError::Vendor(refusal) => {
            (Kind::Failed, format!("{name} answered with an error of its own ({refusal}). Try again later."))
        }
        AccountError::PrivateKey => (
            Kind::WrongKey,
            "The private key is not an RSA key in PEM. Paste the whole key again, from its BEGIN line to its END line.".into(),
        ),
        AccountError::WrongSignature(_) => (Kind::WrongKey, wrong_signature(provider)),
        AccountError::NoSuchApplication(_) => (
            Kind::WrongKey,
            "The Vonage account has no application with this id. Copy the application id again, from the account that the API key \
             is of."
                .into(),
        ),
        AccountError::NoVoice => (
            Kind::NoPermission,
            "The Vonage application is not for calls. Switch its voice capability on, with this service's webhooks.".into(),
        ),
        AccountError::NoToken(why, _) => no_token(*why),
        AccountError::ForeignHost => (
            Kind::AddressRefused,
            "The My Domain name is none, or Salesforce's answer names a server that is not Salesforce's. Use a name such as acme, or \
             acme.my.salesforce.com."
                .into(),
        ),
        AccountError::NoVoiceOfThisId(_) => (
            Kind::Failed,
            format!("{name} has no voice with this id for this account. Choose one of those that are listed."),
        ),
        AccountError::Request(refusal) => (
            Kind::Failed,
            format!("{name} does not take this request ({refusal}). Check the voice, the model and the language, and that they go together."),
        ),
        AccountError::TestCredentials => (
            Kind::NoPermission,
            "These are Twilio's test credentials: they are valid, and can neither take nor place calls. Use the live account SID \
             and token."
                .into(),
        ),
        AccountError::Inactive(status) => {
            (Kind::NoPermission, format!("The {name} account is {status}. Settle that with {name} first."))
        }
    };
    let refusal = refusal(error);
    let status = match error {
        AccountError::NotThatVendor { status } => Some(*status),
        _ => refusal.map(|refusal| refusal.status),
    };
    VendorError { provider, kind, explanation, status, code: refusal.and_then(|refusal| refusal.code.clone()) }
}

fn unreachable(how: Unreachable, place: &str) -> String {
    match how {
        Unreachable::Connect => {
            format!("Nobody answers at {place}. Check that the host name is right and that this server may reach it.")
        }
        Unreachable::Tls => format!(
            "No secure connection to {place}: it has no certificate that is trusted. A private authority goes into EXTRA_CA_FILE."
        ),
        Unreachable::Timeout => format!("No answer from {place} in time. Try again later."),
        Unreachable::Lost => format!("The connection to {place} broke before there was an answer. Try again later."),
    }
}

fn wrong_signature(provider: Provider) -> String {
    match provider {
        Provider::Vonage => "Vonage does not take what the private key signs: it is not the key of this application, or this server's \
                             clock is wrong. Generate a new key pair for the application and paste its private key."
            .into(),
        _ => "Salesforce does not take what the private key signs. Check that the app has the certificate of this key, that the \
              username and the consumer key are right, and that this server's clock is."
            .into(),
    }
}

/// What an administrator of Salesforce has to do.
fn no_token(why: NoToken) -> (Kind, String) {
    let (kind, explanation) = match why {
        NoToken::Client => (
            Kind::WrongKey,
            "Salesforce refused the consumer key or the consumer secret. Copy both again from the app; a new app takes some minutes \
             to be known.",
        ),
        NoToken::Expired => (
            Kind::WrongKey,
            "The refresh token is no longer valid: it expired, was revoked, or was used elsewhere and replaced. Authorise the app \
             again and put its new refresh token into this credential.",
        ),
        NoToken::NotApproved => (
            Kind::NoPermission,
            "The user has not approved the app. Pre-authorise the user's profile or permission set in the app's policies.",
        ),
        NoToken::NoRunAsUser => (
            Kind::NoPermission,
            "The app has no user to run as. Choose one in its policies, under the client credentials flow.",
        ),
        NoToken::Flow => (
            Kind::NoPermission,
            "The app does not allow this flow. Enable it in the app's OAuth settings, or choose another flow.",
        ),
        NoToken::Domain => (
            Kind::AddressRefused,
            "Salesforce does not give tokens by this flow at this address. Set my_domain to the organization's own My Domain.",
        ),
        NoToken::Audience => (
            Kind::AddressRefused,
            "Salesforce says that the request was for another place: production and sandbox are mixed up. Check my_domain; a sandbox's \
             is such as acme--dev.sandbox.",
        ),
        NoToken::Address => (
            Kind::NoPermission,
            "Salesforce does not allow requests from this server's address. Relax the app's IP restrictions, or add the address to \
             the trusted ones.",
        ),
        NoToken::User => {
            (Kind::NoPermission, "The Salesforce user is frozen or deactivated. Activate it, or choose another.")
        }
        NoToken::Organisation => {
            (Kind::NoPermission, "The Salesforce organization is locked or closed. Settle that with Salesforce first.")
        }
        NoToken::Other => (
            Kind::WrongKey,
            "Salesforce gave no token. Check the fields of this credential, and the app's policies; Salesforce's login history says \
             more.",
        ),
    };
    (kind, explanation.into())
}

const fn refusal(error: &AccountError) -> Option<&Refusal> {
    match error {
        AccountError::WrongKey(refusal)
        | AccountError::NoPermission(refusal)
        | AccountError::Quota(refusal)
        | AccountError::Vendor(refusal)
        | AccountError::WrongSignature(refusal)
        | AccountError::NoSuchApplication(refusal)
        | AccountError::NoToken(_, refusal)
        | AccountError::NoVoiceOfThisId(refusal)
        | AccountError::Request(refusal) => Some(refusal),
        _ => None,
    }
}

const fn name(provider: Provider) -> &'static str {
    match provider {
        Provider::Openai => "OpenAI",
        Provider::Claude => "Anthropic",
        Provider::Deepgram => "Deepgram",
        Provider::Elevenlabs => "ElevenLabs",
        Provider::Twilio => "Twilio",
        Provider::Vonage => "Vonage",
        Provider::Salesforce => "Salesforce",
    }
}

/// What a key has to be given.
const fn permission(provider: Provider) -> &'static str {
    match provider {
        Provider::Openai => "access to chat completions; a country or project limit can be the reason too",
        Provider::Deepgram => "a role that may transcribe (usage:write)",
        Provider::Elevenlabs => "text to speech, and reading of the user or of voices, by which it is tested",
        Provider::Twilio => "access to calls and phone numbers",
        Provider::Claude => "access to the workspace's models",
        Provider::Vonage => "access to the account's applications and numbers",
        Provider::Salesforce => "access to the API (the profile's permission API Enabled)",
    }
}
