//! What a store answers when it cannot do what was asked: the kind of answer says what to do next.

/// What a store answered, phrased as what to do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database is away or busy; nothing is known to have happened. Look it up before a second try.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The lease is over: somebody else holds the job, or it is finished.
    #[error("the lease on this job is over; another worker holds it or it is finished")]
    Stale,
    /// There is no such row.
    #[error("not found: {0}")]
    NotFound(String),
    /// The request cannot succeed as it is: the text names the value and the remedy.
    #[error("{0}")]
    Rejected(String),
    /// A row with such a value is there already, and a rule of the database forbids a second one.
    #[error("{text}")]
    Taken {
        /// The rule as the database names it: PostgreSQL the constraint or index (`users_pkey`), SQLite the columns (`users.id`), and
        /// of an index on an expression `index 'name'`. Empty where a client library does not say it.
        rule: String,
        /// What the database says.
        text: String,
    },
    /// The store refuses this program whatever it asks: a password, a right, a file that cannot be written. A person
    /// must act; no job is to blame, and none may be settled because of it.
    #[error("{0}")]
    Unusable(String),
    /// The schema is not the one that this program needs.
    #[error("{0}")]
    Schema(String),
}

impl StoreError {
    /// Whether the same call may succeed later by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether what was asked for cannot succeed as it is, whoever asks for it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Taken { .. })
    }

    /// Whether the store is to blame and not what was asked of it: work waits then, and no attempt counts.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unusable(_) | Self::Schema(_))
    }
}
