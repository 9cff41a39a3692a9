//! Which fields a provider's credential has: one table, for what is checked and for what the catalogue says.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use trunkline_base::Secret;
use utoipa::ToSchema;

use crate::{
    check::{Checker, FieldErrors},
    vault::Fields,
    vendors::Provider,
};

/// Longest value of a field, in characters.
const LONGEST: usize = 16 * 1024;

/// How a provider knows its customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialType {
    /// One key.
    ApiKey,
    /// A client of an OAuth server.
    Oauth,
    /// An account and its secret.
    BasicAuth,
}

impl CredentialType {
    /// The name in the database and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Oauth => "oauth",
            Self::BasicAuth => "basic_auth",
        }
    }
}

impl FromStr for CredentialType {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::ApiKey, Self::Oauth, Self::BasicAuth].into_iter().find(|kind| kind.name() == name).ok_or(())
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Anything, and nobody may see it.
    Secret,
    /// Anything.
    Text,
    /// It becomes a segment of a URL's path.
    Identifier,
    /// It becomes a label of a host's name.
    Label,
    /// An address to connect to.
    Url,
    /// One of these.
    OneOf(&'static [&'static str]),
}

#[derive(Debug)]
struct Field {
    name: &'static str,
    required: bool,
    kind: Kind,
    about: &'static str,
}

/// The fields of a provider's credential.
#[derive(Debug)]
pub(crate) struct Form {
    provider: Provider,
    pub(crate) credential_type: CredentialType,
    fields: &'static [Field],
    /// Which field, the first that is set, is the vendor's name of the account.
    account: &'static [&'static str],
}

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, required: true, kind, about }
}

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, required: false, kind, about }
}

const KEY: &[Field] = &[
    required("api_key", Kind::Secret, "The key"),
    optional("endpoint_url", Kind::Url, "A compatible server, or a proxy, instead of the vendor's own address"),
    optional("organization", Kind::Text, "The organization that is billed"),
];

const TWILIO: &[Field] = &[
    required("account_sid", Kind::Identifier, "The account, as AC…"),
    required("auth_token", Kind::Secret, "The account's token; webhooks are signed with it"),
    optional("api_key_sid", Kind::Identifier, "An API key, as SK…, to make requests with instead of the token"),
    optional("api_key_secret", Kind::Secret, "The API key's secret"),
    optional("region", Kind::Label, "The region where calls are processed, such as ie1"),
    optional("edge", Kind::Label, "The edge where requests enter, such as dublin"),
];

const VONAGE: &[Field] = &[
    required("api_key", Kind::Identifier, "The account's API key"),
    required("api_secret", Kind::Secret, "The account's API secret"),
    required("application_id", Kind::Identifier, "The voice application"),
    required("private_key", Kind::Secret, "The application's private key, as PEM"),
    required("signature_secret", Kind::Secret, "What the carrier signs webhooks with"),
    optional("endpoint_url", Kind::Url, "A proxy, or a region's address, instead of the carrier's default"),
];

const SALESFORCE: &[Field] = &[
    required("flow", Kind::OneOf(&["client_credentials", "jwt_bearer", "refresh_token"]), "How a token is got"),
    required("my_domain", Kind::Text, "The organization's My Domain"),
    required("client_id", Kind::Text, "The connected app's consumer key"),
    optional("client_secret", Kind::Secret, "The connected app's consumer secret"),
    optional("private_key", Kind::Secret, "The key of the certificate, as PEM, for jwt_bearer"),
    optional("username", Kind::Text, "As whom, for jwt_bearer"),
    optional("refresh_token", Kind::Secret, "For refresh_token"),
];

static FORMS: [Form; 7] = [
    form(Provider::Openai, CredentialType::ApiKey, KEY, &[]),
    form(Provider::Claude, CredentialType::ApiKey, KEY, &[]),
    form(Provider::Deepgram, CredentialType::ApiKey, KEY, &[]),
    form(Provider::Elevenlabs, CredentialType::ApiKey, KEY, &[]),
    form(Provider::Twilio, CredentialType::BasicAuth, TWILIO, &["account_sid"]),
    form(Provider::Vonage, CredentialType::BasicAuth, VONAGE, &["application_id", "api_key"]),
    form(Provider::Salesforce, CredentialType::Oauth, SALESFORCE, &[]),
];

const fn form(
    provider: Provider,
    credential_type: CredentialType,
    fields: &'static [Field],
    account: &'static [&'static str],
) -> Form {
    Form { provider, credential_type, fields, account }
}

impl Form {
    /// A provider's forms, one for each type of credential that it knows.
    pub(crate) fn all_of(provider: Provider) -> impl Iterator<Item = &'static Self> {
        FORMS.iter().filter(move |form| form.provider == provider)
    }

    /// The form of one type.
    pub(crate) fn of(provider: Provider, credential_type: CredentialType) -> Option<&'static Self> {
        Self::all_of(provider).find(|form| form.credential_type == credential_type)
    }

    /// Checks values. What is empty counts as not set. Errors are named `credentials.<field>` and quote no value.
    pub(crate) fn read(&self, mut values: BTreeMap<String, Secret>) -> Result<Fields, FieldErrors> {
        values.retain(|_, value| !value.is_empty());
        let mut check = Checker::default();
        check.inside("credentials", |check| {
            for field in self.fields {
                match values.get(field.name) {
                    Some(value) => field.check(check, value.expose()),
                    None => check.require(field.name, !field.required, "is required"),
                }
            }
            for name in values.keys().filter(|name| !self.has(name)) {
                check.require(name, false, format!("is not a field of a credential of {}", self.provider));
            }
        });
        check.finish()?;
        Ok(values.into_iter().collect())
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// The vendor's name of the account, which is not secret.
    pub(crate) fn account_of(&self, fields: &Fields) -> Option<String> {
        self.account.iter().find_map(|name| fields.get(name)).map(|account| account.expose().to_owned())
    }

    /// The fields as JSON Schema.
    pub(crate) fn json_schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.fields.iter().map(|field| (field.name.to_owned(), field.json_schema())).collect();
        let required: Vec<&str> = self.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }
}

/// Longest identifier and longest label of a host's name.
const IDENTIFIER: usize = 128;
const LABEL: usize = 63;

impl Field {
    fn check(&self, check: &mut Checker, value: &str) {
        check.text(self.name, value, 1..=LONGEST);
        match self.kind {
            Kind::Secret | Kind::Text | Kind::Url => {}
            Kind::Identifier => {
                let ok = value.len() <= IDENTIFIER
                    && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
                check.require(self.name, ok, "must have at most 128 letters, digits, '-' or '_'");
            }
            Kind::Label => {
                let ok = value.len() <= LABEL
                    && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
                check.require(self.name, ok, "must have at most 63 lower-case letters, digits or '-'");
            }
            Kind::OneOf(values) => {
                check.require(self.name, values.contains(&value), format!("must be one of {}", values.join(", ")));
            }
        }
    }

    fn json_schema(&self) -> Value {
        let mut schema =
            json!({ "type": "string", "description": self.about, "writeOnly": true, "maxLength": LONGEST });
        if self.required {
            schema["minLength"] = 1.into();
        }
        match self.kind {
            Kind::Secret => schema["format"] = "password".into(),
            Kind::Text => {}
            Kind::Identifier => schema["pattern"] = format!("^[A-Za-z0-9_-]{{0,{IDENTIFIER}}}$").into(),
            Kind::Label => schema["pattern"] = format!("^[a-z0-9-]{{0,{LABEL}}}$").into(),
            Kind::Url => schema["format"] = "uri".into(),
            Kind::OneOf(values) => schema["enum"] = values.into(),
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(provider: Provider, values: &[(&str, &str)]) -> Result<Fields, String> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        Form::all_of(provider).next().unwrap().read(values).map_err(|errors| errors.to_string())
    }

    #[test]
    fn everything_that_is_wrong_is_named_and_nothing_is_quoted() {
        let errors =
            read(Provider::Twilio, &[("account_sid", "AC/../x"), ("edge", "a.evil.com#"), ("api_key", "sk-1")]);
        assert_eq!(
            errors.unwrap_err(),
            "credentials.account_sid: must have at most 128 letters, digits, '-' or '_'\n\
             credentials.auth_token: is required\n\
             credentials.edge: must have at most 63 lower-case letters, digits or '-'\n\
             credentials.api_key: is not a field of a credential of twilio"
        );
        let errors = read(Provider::Salesforce, &[("flow", "password"), ("my_domain", "x"), ("client_id", "x")]);
        assert_eq!(
            errors.unwrap_err(),
            "credentials.flow: must be one of client_credentials, jwt_bearer, refresh_token"
        );
        let long = "x".repeat(LONGEST + 1);
        let errors = read(Provider::Openai, &[("api_key", long.as_str())]).unwrap_err();
        assert_eq!(errors, "credentials.api_key: must have between 1 and 16384 characters");
    }

    #[test]
    fn what_is_empty_is_not_set() {
        let errors = read(Provider::Openai, &[("api_key", ""), ("organization", "")]).unwrap_err();
        assert_eq!(errors, "credentials.api_key: is required");
        assert_eq!(read(Provider::Openai, &[("api_key", "k"), ("organization", "")]).unwrap().names(), ["api_key"]);
    }

    #[test]
    fn every_provider_has_a_form_and_names_its_account() {
        for provider in Provider::ALL {
            assert_eq!(Form::all_of(provider).count(), 1, "{provider}");
        }
        let vonage = [
            ("api_key", "abc"),
            ("api_secret", "s"),
            ("application_id", "app-1"),
            ("private_key", "-----BEGIN"),
            ("signature_secret", "s"),
        ];
        let form = Form::of(Provider::Vonage, CredentialType::BasicAuth).unwrap();
        assert_eq!(form.account_of(&read(Provider::Vonage, &vonage).unwrap()).as_deref(), Some("app-1"));
        assert!(Form::of(Provider::Vonage, CredentialType::ApiKey).is_none());
    }
}
