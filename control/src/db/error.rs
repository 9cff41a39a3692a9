//! What a database answers when it doesn't do as it is told, as far as anybody decides by it.

/// Why a statement had no result.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A unique name is taken; the constraint's name says which.
    #[error("unique constraint {0}")]
    Unique(String),
    /// A row that is referred to is not there, or still referred to.
    #[error("foreign key {0}")]
    ForeignKey(String),
    /// The database cannot be reached, is starting, or has no connection to spare: trying again later may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A row that cannot be read: somebody else wrote it, or a bug did.
    #[error("{table} has a row that cannot be read: {cause}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Why, without its values.
        cause: String,
    },
    /// Anything else is a bug.
    #[error("database: {0}")]
    Other(#[source] sqlx::Error),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(cause) => {
                let constraint = || cause.constraint().unwrap_or("unnamed").to_owned();
                match cause.code().as_deref() {
                    Some("23505") => Self::Unique(constraint()),
                    Some("23503") => Self::ForeignKey(constraint()),
                    // Class 08: connection; 53: resources; 57P: shutting down or starting; 25006: read-only.
                    Some(code)
                        if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) || code == "25006" =>
                    {
                        Self::Unavailable(error)
                    }
                    _ => Self::Other(error),
                }
            }
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                Self::Unavailable(error)
            }
            _ => Self::Other(error),
        }
    }
}
