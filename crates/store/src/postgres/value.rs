//! What goes into a statement and comes out of it, in PostgreSQL's own binary form.

use std::error::Error;

use backshift_core::Timestamp;
use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, Kind as PgKind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::{Column, RawCell, Value};

/// A row as the server sent it.
#[derive(Debug)]
pub(crate) struct PgRow(pub(super) tokio_postgres::Row);

impl PgRow {
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.0.columns().iter().position(|column| column.name() == name)
    }

    pub(crate) fn cell(&self, index: usize) -> Result<RawCell<'_>, String> {
        self.0.try_get(index).map_err(|e| e.to_string())
    }

    pub(crate) fn name(&self, index: usize) -> Option<&str> {
        self.0.columns().get(index).map(tokio_postgres::Column::name)
    }
}

impl Value {
    /// The type that PostgreSQL is told.
    pub(crate) fn pg_type(&self) -> Type {
        match self {
            Self::Bool(_) => Type::BOOL,
            Self::Int(_) => Type::INT8,
            Self::Real(_) => Type::FLOAT8,
            Self::Text(_) => Type::TEXT,
            Self::Bytes(_) => Type::BYTEA,
            Self::Uuid(_) => Type::UUID,
            Self::Time(_) => Type::TIMESTAMPTZ,
            Self::Json(_) => Type::JSONB,
        }
    }
}

impl Column {
    pub(crate) fn pg_type(&self) -> Type {
        match self {
            Self::Bools(_) => Type::BOOL_ARRAY,
            Self::Ints(_) => Type::INT8_ARRAY,
            Self::Texts(_) => Type::TEXT_ARRAY,
            Self::Bytes(_) => Type::BYTEA_ARRAY,
            Self::Uuids(_) => Type::UUID_ARRAY,
            Self::Times(_) => Type::TIMESTAMPTZ_ARRAY,
        }
    }
}

type Encoded = Result<IsNull, Box<dyn Error + Sync + Send>>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        match self {
            Self::Bool(v) => v.to_sql(ty, out),
            Self::Int(v) => v.to_sql(ty, out),
            Self::Real(v) => v.to_sql(ty, out),
            Self::Text(v) => v.to_sql(ty, out),
            Self::Bytes(v) => v.as_deref().to_sql(ty, out),
            Self::Uuid(v) => v.to_sql(ty, out),
            Self::Time(v) => v.to_sql(ty, out),
            Self::Json(v) => v.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl ToSql for Column {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        match self {
            Self::Bools(v) => v.to_sql(ty, out),
            Self::Ints(v) => v.to_sql(ty, out),
            Self::Texts(v) => v.to_sql(ty, out),
            Self::Bytes(v) => v.iter().map(|b| b.as_deref()).collect::<Vec<_>>().to_sql(ty, out),
            Self::Uuids(v) => v.to_sql(ty, out),
            Self::Times(v) => v.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Microseconds from 1970 to 2000, PostgreSQL's own epoch.
const PG_EPOCH: i64 = 946_684_800_000_000;

impl<'a> FromSql<'a> for RawCell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Self::Bool(bool::from_sql(ty, raw)?),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::OID => Self::Int(u32::from_sql(ty, raw)?.into()),
            Type::FLOAT4 => Self::Real(f32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::BYTEA => Self::Bytes(raw),
            Type::UUID => Self::Uuid(Uuid::from_sql(ty, raw)?),
            Type::TIMESTAMPTZ | Type::TIMESTAMP => {
                let since_2000 = i64::from_be_bytes(raw.try_into()?);
                Self::Time(Timestamp::from_microsecond(since_2000.saturating_add(PG_EPOCH))?)
            }
            Type::JSONB => Self::Text(std::str::from_utf8(raw.get(1..).unwrap_or_default())?),
            _ => Self::Text(std::str::from_utf8(raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        const KNOWN: [Type; 17] = [
            Type::BOOL,
            Type::INT2,
            Type::INT4,
            Type::INT8,
            Type::OID,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::BYTEA,
            Type::UUID,
            Type::TIMESTAMPTZ,
            Type::TIMESTAMP,
            Type::JSONB,
            Type::JSON,
            Type::TEXT,
            Type::VARCHAR,
            Type::BPCHAR,
            Type::NAME,
        ];
        KNOWN.contains(ty) || ty.name() == "citext" || matches!(ty.kind(), PgKind::Enum(_))
    }
}
