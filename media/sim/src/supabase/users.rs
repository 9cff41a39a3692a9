//! The project's users and their sessions.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::keys::Token;
use crate::dates;

/// A user to begin with.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// A UUID.
    pub id: String,
    /// Their address.
    pub email: String,
    /// Their password.
    pub password: String,
    /// What the server alone may write.
    pub app_metadata: Value,
    /// What they may write themselves.
    pub user_metadata: Value,
    /// Whether they are shut out.
    pub banned: bool,
}

impl User {
    /// A user with a new id.
    pub fn new(email: &str, password: &str) -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            email: email.into(),
            password: password.into(),
            app_metadata: json!({"provider": "email", "providers": ["email"]}),
            user_metadata: json!({}),
            banned: false,
        }
    }

    /// What a token of theirs says.
    pub fn token(&self) -> Token {
        Token {
            app_metadata: self.app_metadata.clone(),
            user_metadata: self.user_metadata.clone(),
            ..Token::of(&self.id, &self.email)
        }
    }
}

#[derive(Debug)]
struct Account {
    user: User,
    created_at: String,
    updated_at: String,
}

/// A login that has not been ended.
#[derive(Debug)]
struct Session {
    id: String,
    user: String,
    refresh_token: String,
}

#[derive(Debug, Default)]
pub(super) struct Users {
    accounts: Vec<Account>,
    sessions: Vec<Session>,
    /// The sessions that were ended. Tokens that were minted for a test belong to none.
    ended: Vec<String>,
}

/// What may be changed of a user; `None` stays.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) email: Option<String>,
    pub(super) password: Option<String>,
    /// Merged into what there is; null takes a field away.
    pub(super) user_metadata: Option<Map<String, Value>>,
    /// The same.
    pub(super) app_metadata: Option<Map<String, Value>>,
    pub(super) banned: Option<bool>,
}

impl Users {
    pub(super) fn add(&mut self, user: User) -> bool {
        if self.accounts.iter().any(|account| account.user.email.eq_ignore_ascii_case(&user.email)) {
            return false;
        }
        let now = dates::iso8601(SystemTime::now());
        self.accounts.push(Account { user, created_at: now.clone(), updated_at: now });
        true
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Value> {
        self.accounts.iter().map(Account::to_json)
    }

    pub(super) fn get(&self, id: &str) -> Option<&User> {
        self.accounts.iter().find(|account| account.user.id == id).map(|account| &account.user)
    }

    pub(super) fn describe(&self, id: &str) -> Option<Value> {
        self.accounts.iter().find(|account| account.user.id == id).map(Account::to_json)
    }

    pub(super) fn by_password(&self, email: &str, password: &str) -> Option<&User> {
        let known = |user: &&User| user.email.eq_ignore_ascii_case(email) && user.password == password;
        self.accounts.iter().map(|account| &account.user).find(known)
    }

    pub(super) fn change(&mut self, id: &str, changes: Changes) -> Option<Value> {
        let account = self.accounts.iter_mut().find(|account| account.user.id == id)?;
        let user = &mut account.user;
        user.email = changes.email.unwrap_or(std::mem::take(&mut user.email));
        user.password = changes.password.unwrap_or(std::mem::take(&mut user.password));
        user.banned = changes.banned.unwrap_or(user.banned);
        merge(&mut user.user_metadata, changes.user_metadata);
        merge(&mut user.app_metadata, changes.app_metadata);
        account.updated_at = dates::iso8601(SystemTime::now());
        Some(account.to_json())
    }

    pub(super) fn remove(&mut self, id: &str) -> bool {
        let before = self.accounts.len();
        self.accounts.retain(|account| account.user.id != id);
        self.end(|session| session.user == id);
        self.accounts.len() < before
    }

    /// Begins a session and tells its id and its refresh token.
    pub(super) fn begin(&mut self, user: &str) -> (String, String) {
        let session = uuid::Uuid::new_v4().to_string();
        let refresh_token = new_refresh_token();
        self.sessions.push(Session { id: session.clone(), user: user.into(), refresh_token: refresh_token.clone() });
        (session, refresh_token)
    }

    /// Uses up a refresh token: tells the user, the session and the next refresh token.
    pub(super) fn refresh(&mut self, token: &str) -> Option<(String, String, String)> {
        let session = self.sessions.iter_mut().find(|session| session.refresh_token == token)?;
        session.refresh_token = new_refresh_token();
        Some((session.user.clone(), session.id.clone(), session.refresh_token.clone()))
    }

    pub(super) fn has_ended(&self, session: &str) -> bool {
        self.ended.iter().any(|ended| ended == session)
    }

    /// Ends a user's session, or all of them, or all others.
    pub(super) fn log_out(&mut self, user: &str, session: &str, scope: &str) {
        self.end(|it| match scope {
            "local" => it.id == session,
            "others" => it.user == user && it.id != session,
            _ => it.user == user,
        });
        if scope != "others" && !self.has_ended(session) {
            self.ended.push(session.into());
        }
    }

    fn end(&mut self, which: impl Fn(&Session) -> bool) {
        let (over, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sessions).into_iter().partition(|it| which(it));
        self.sessions = open;
        self.ended.extend(over.into_iter().map(|session| session.id));
    }
}

impl Account {
    fn to_json(&self) -> Value {
        let User { id, email, app_metadata, user_metadata, banned, .. } = &self.user;
        json!({
            "id": id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": email,
            "phone": "",
            "email_confirmed_at": self.created_at,
            "confirmed_at": self.created_at,
            "last_sign_in_at": self.updated_at,
            "app_metadata": app_metadata,
            "user_metadata": user_metadata,
            "identities": [{
                "id": id,
                "identity_id": id,
                "user_id": id,
                "provider": "email",
                "identity_data": {"email": email, "sub": id},
                "created_at": self.created_at,
                "last_sign_in_at": self.updated_at,
                "updated_at": self.updated_at,
            }],
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "banned_until": banned.then_some("2999-01-01T00:00:00Z"),
            "is_anonymous": false,
        })
    }
}

fn new_refresh_token() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..12].to_owned()
}

fn merge(into: &mut Value, changes: Option<Map<String, Value>>) {
    let (Some(fields), Some(changes)) = (into.as_object_mut(), changes) else { return };
    for (name, value) in changes {
        if value.is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
}
