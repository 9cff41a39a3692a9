//! Failures in sentences for people: what is wrong, and what to do.

use trunkline_control::{
    vault::Fields,
    vendors::{Provider, VendorError, VendorErrorKind as Kind},
};
use trunkline_media::account::{AccountError, Refusal, Unreachable};

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
        Failure::NotYet => told(
            Kind::NotYet,
            format!("This version does not speak with {name} yet. The credential can be kept, and cannot be tested or used."),
        ),
        Failure::NoCarrier => told(
            Kind::NotYet,
            format!("{name} is not a carrier and has no phone numbers. Choose a credential of the number's carrier."),
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
        Unreachable::Timeout => format!("No answer from {place} within 10 seconds. Try again later."),
        Unreachable::Lost => format!("The connection to {place} broke before there was an answer. Try again later."),
    }
}

const fn refusal(error: &AccountError) -> Option<&Refusal> {
    match error {
        AccountError::WrongKey(refusal)
        | AccountError::NoPermission(refusal)
        | AccountError::Quota(refusal)
        | AccountError::Vendor(refusal) => Some(refusal),
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
        Provider::Claude | Provider::Vonage | Provider::Salesforce => "the permissions that it needs",
    }
}
