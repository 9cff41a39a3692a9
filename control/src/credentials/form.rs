//! Which fields a provider's credential has: one table, for what is checked and for what the catalogue says.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use trunkline_base::Secret;
use utoipa::ToSchema;

use super::pem;
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
    /// An RSA key in PEM.
    PrivateKey,
    /// Anything.
    Text,
    /// It becomes a segment of a URL's path.
    Identifier,
    /// It becomes a label of a host's name.
    Label,
    /// It becomes the beginning of a host's name, or is one.
    Domain,
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
    cases: &'static [Case],
}

/// Fields that are required where another field has a value.
#[derive(Debug)]
struct Case {
    field: &'static str,
    value: &'static str,
    requires: &'static [&'static str],
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
    required(
        "private_key",
        Kind::PrivateKey,
        "The application's private key, as PEM; line breaks may be written as \\n",
    ),
    required("signature_secret", Kind::Secret, "What the carrier signs webhooks with"),
    optional("endpoint_url", Kind::Url, "A proxy, or a region's address, instead of the carrier's default"),
];

const SALESFORCE: &[Field] = &[
    required("flow", Kind::OneOf(&["client_credentials", "jwt_bearer", "refresh_token"]), "How a token is got"),
    required("my_domain", Kind::Domain, "The organization's My Domain, such as acme or acme.my.salesforce.com"),
    required("client_id", Kind::Text, "The app's consumer key"),
    optional("client_secret", Kind::Secret, "The app's consumer secret; client_credentials needs it"),
    optional("private_key", Kind::PrivateKey, "The key of the app's certificate, as PEM; jwt_bearer needs it"),
    optional("username", Kind::Text, "As whom; jwt_bearer needs it"),
    optional(
        "refresh_token",
        Kind::Secret,
        "What refresh_token begins with; it is replaced whenever Salesforce replaces it",
    ),
];

const SALESFORCE_CASES: &[Case] = &[
    Case { field: "flow", value: "client_credentials", requires: &["client_secret"] },
    Case { field: "flow", value: "jwt_bearer", requires: &["private_key", "username"] },
    Case { field: "flow", value: "refresh_token", requires: &["refresh_token"] },
];

static FORMS: [Form; 7] = [
    form(Provider::Openai, CredentialType::ApiKey, KEY, &[], &[]),
    form(Provider::Claude, CredentialType::ApiKey, KEY, &[], &[]),
    form(Provider::Deepgram, CredentialType::ApiKey, KEY, &[], &[]),
    form(Provider::Elevenlabs, CredentialType::ApiKey, KEY, &[], &[]),
    form(Provider::Twilio, CredentialType::BasicAuth, TWILIO, &["account_sid"], &[]),
    form(Provider::Vonage, CredentialType::BasicAuth, VONAGE, &["application_id", "api_key"], &[]),
    form(Provider::Salesforce, CredentialType::Oauth, SALESFORCE, &[], SALESFORCE_CASES),
];

const fn form(
    provider: Provider,
    credential_type: CredentialType,
    fields: &'static [Field],
    account: &'static [&'static str],
    cases: &'static [Case],
) -> Form {
    Form { provider, credential_type, fields, account, cases }
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

    /// Checks values, and brings keys into one form. What is empty counts as not set. Errors are named `credentials.<field>` and quote
    /// no value.
    pub(crate) fn read(&self, mut values: BTreeMap<String, Secret>) -> Result<Fields, FieldErrors> {
        values.retain(|_, value| !value.is_empty());
        let mut check = Checker::default();
        check.inside("credentials", |check| {
            for field in self.fields {
                let Some(value) = values.get(field.name) else {
                    check.require(field.name, !field.required, "is required");
                    continue;
                };
                let kept = field.check(check, value);
                if let Some(kept) = kept {
                    values.insert(field.name.to_owned(), kept);
                }
            }
            for case in
                self.cases.iter().filter(|case| values.get(case.field).is_some_and(|it| it.expose() == case.value))
            {
                for name in case.requires {
                    check.require(
                        name,
                        values.contains_key(*name),
                        format!("is required for the {} {}", case.field, case.value),
                    );
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
        let mut schema =
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
        if !self.cases.is_empty() {
            schema["allOf"] = self.cases.iter().map(Case::json_schema).collect();
        }
        schema
    }
}

impl Case {
    fn json_schema(&self) -> Value {
        json!({
            "if": { "properties": { self.field: { "const": self.value } }, "required": [self.field] },
            "then": { "required": self.requires },
        })
    }
}

/// Longest identifier, longest label of a host's name, and longest such name.
const IDENTIFIER: usize = 128;
const LABEL: usize = 63;
const DOMAIN: usize = 253;

impl Field {
    /// Checks a value: what to keep in its place, if that is another spelling.
    fn check(&self, check: &mut Checker, secret: &Secret) -> Option<Secret> {
        let value = secret.expose();
        check.text(self.name, value, 1..=LONGEST);
        match self.kind {
            Kind::Secret | Kind::Text | Kind::Url => {}
            Kind::PrivateKey => match pem::private_key(secret) {
                Ok(key) => return Some(key),
                Err(message) => check.require(self.name, false, message),
            },
            Kind::Domain => {
                check.require(
                    self.name,
                    is_domain(value),
                    "must be a name such as acme or acme.my.salesforce.com, in lower case and without https://",
                );
            }
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
        None
    }

    fn json_schema(&self) -> Value {
        let mut schema =
            json!({ "type": "string", "description": self.about, "writeOnly": true, "maxLength": LONGEST });
        if self.required {
            schema["minLength"] = 1.into();
        }
        match self.kind {
            Kind::Secret | Kind::PrivateKey => schema["format"] = "password".into(),
            Kind::Text => {}
            Kind::Domain => {
                schema["pattern"] = r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)?$".into();
                schema["maxLength"] = DOMAIN.into();
            }
            Kind::Identifier => schema["pattern"] = format!("^[A-Za-z0-9_-]{{0,{IDENTIFIER}}}$").into(),
            Kind::Label => schema["pattern"] = format!("^[a-z0-9-]{{0,{LABEL}}}$").into(),
            Kind::Url => schema["format"] = "uri".into(),
            Kind::OneOf(values) => schema["enum"] = values.into(),
        }
        schema
    }
}

/// Labels with dots between: nothing in it can end the host of a URL.
fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= DOMAIN && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::PRIVATE_KEY;

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
            ("private_key", PRIVATE_KEY),
            ("signature_secret", "s"),
        ];
        let form = Form::of(Provider::Vonage, CredentialType::BasicAuth).unwrap();
        assert_eq!(form.account_of(&read(Provider::Vonage, &vonage).unwrap()).as_deref(), Some("app-1"));
        assert!(Form::of(Provider::Vonage, CredentialType::ApiKey).is_none());
    }

    #[test]
    fn each_flow_of_salesforce_says_what_it_needs() {
        let of = |flow: &str, more: &[(&str, &str)]| {
            let base = [("flow", flow), ("my_domain", "acme"), ("client_id", "3MVG9")];
            read(Provider::Salesforce, &[&base, more].concat()).map(|fields| fields.names().len())
        };
        assert_eq!(
            of("client_credentials", &[]).unwrap_err(),
            "credentials.client_secret: is required for the flow client_credentials"
        );
        assert_eq!(
            of("jwt_bearer", &[("client_secret", "s")]).unwrap_err(),
            "credentials.private_key: is required for the flow jwt_bearer\n\
             credentials.username: is required for the flow jwt_bearer"
        );
        assert_eq!(
            of("refresh_token", &[("refresh_token", "")]).unwrap_err(),
            "credentials.refresh_token: is required for the flow refresh_token"
        );
        assert_eq!(of("client_credentials", &[("client_secret", "s")]), Ok(4));
        assert_eq!(of("jwt_bearer", &[("private_key", PRIVATE_KEY), ("username", "ada@example.com")]), Ok(5));
        // A public client has no secret.
        assert_eq!(of("refresh_token", &[("refresh_token", "5Aep")]), Ok(4));
        let schema = Form::of(Provider::Salesforce, CredentialType::Oauth).unwrap().json_schema();
        assert_eq!(schema["allOf"][1]["then"]["required"], json!(["private_key", "username"]));
    }

    #[test]
    fn a_domain_is_labels_and_nothing_that_ends_a_host() {
        for good in
            ["acme", "acme.my.salesforce.com", "acme--dev.sandbox", "acme-dev-ed.develop.my.salesforce.com", "login"]
        {
            assert!(is_domain(good), "{good}");
        }
        let long = "a.".repeat(127) + "aa";
        for bad in [
            "",
            ".",
            "acme.",
            ".acme",
            "a..b",
            "-a",
            "a-",
            "Acme",
            "https://acme",
            "acme/x",
            "acme#",
            "acme?x",
            "acme:443",
            "a@b",
            "a b",
            "a\\b",
            "a%2eb",
            "é",
            "a_b",
            "a\n",
            &long,
        ] {
            assert!(!is_domain(bad), "{bad}");
        }
    }

    #[test]
    fn a_private_key_is_kept_with_its_lines_as_they_should_be() {
        let pasted = PRIVATE_KEY.trim().replace('\n', "\\n");
        let of = |key: &str| {
            let fields = [
                ("api_key", "abc"),
                ("api_secret", "s"),
                ("application_id", "app-1"),
                ("private_key", key),
                ("signature_secret", "s"),
            ];
            read(Provider::Vonage, &fields)
        };
        assert_eq!(of(&pasted).unwrap().get("private_key").unwrap().expose(), PRIVATE_KEY);
        let error = of("hush-hush").unwrap_err();
        assert!(error.starts_with("credentials.private_key: must be the whole private key as PEM"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}
