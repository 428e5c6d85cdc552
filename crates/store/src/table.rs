//! `table!`: a struct that is one row of a table, with its `SELECT` and its `INSERT`.
//!
//! `select()` ends in `WHERE true`, so that optional filters are simply appended with `Query::and`.

/// Declares a struct and says which table it is a row of. Field names are column names.
///
/// ```
/// backshift_store::table! {
///     /// One referral.
///     pub struct Referral = "referrals" {
///         /// Its id.
///         id: backshift_store::Uuid,
///         /// Whom it was sent to.
///         referred_email: String,
///     }
/// }
/// assert_eq!(Referral::select(), "SELECT id, referred_email FROM referrals WHERE true");
/// ```
#[macro_export]
macro_rules! table {
    ($(#[$doc:meta])* $vis:vis struct $name:ident = $table:literal {
        $(#[$first_doc:meta])* $first:ident: $first_type:ty
        $(, $(#[$field_doc:meta])* $field:ident: $type:ty)* $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $(#[$first_doc])* pub $first: $first_type,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        #[allow(dead_code)]
        impl $name {
            /// The table.
            pub const TABLE: &'static str = $table;
            /// The columns, in order, separated by commas.
            pub const COLUMNS: &'static str =
                concat!(stringify!($first) $(, ", ", stringify!($field))*);

            /// Every column of every row; append filters with `Query::and`.
            pub const fn select() -> &'static str {
                concat!(
                    "SELECT ", stringify!($first) $(, ", ", stringify!($field))*,
                    " FROM ", $table, " WHERE true"
                )
            }

            /// A statement that inserts this row; append `ON CONFLICT` or `RETURNING` with `Query::push`.
            pub fn insert<'a, On: $crate::Executor>(&self, on: &'a On) -> $crate::Query<'a> {
                let marks: Vec<String> =
                    (1..=Self::COLUMNS.split(',').count()).map(|n| format!("${n}")).collect();
                let text =
                    format!("INSERT INTO {} ({}) VALUES ({})", $table, Self::COLUMNS, marks.join(", "));
                on.text(text).bind(self.$first.clone()) $(.bind(self.$field.clone()))*
            }
        }

        impl $crate::FromRow for $name {
            fn from_row(row: &$crate::Row) -> Result<Self, $crate::StoreError> {
                Ok(Self {
                    $first: row.get(stringify!($first))?,
                    $($field: row.get(stringify!($field))?,)*
                })
            }
        }
    };
}
