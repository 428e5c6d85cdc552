//! Query strings of lists: `ids`, `codes`, `user_id`, `page`, `limit`, and the paginator of the answer.
//!
//! Repeated keys, commas and `ids[]` are all read, because C's clients use each of them.

use axum::response::Response;
use backshift_http::{ApiError, envelope};
use serde::{
    Serialize,
    ser::{SerializeMap as _, Serializer},
};

use super::path;
use crate::identity::{ListQuery, Listed, refusals::Refusal};

/// Rows a page unless asked otherwise, and the most that may be asked for (docs/contracts/system-c.md, "HTTP").
const PER_PAGE: u32 = 15;
const MOST_PER_PAGE: u32 = 100;

/// What a list route says when its query is wrong.
#[derive(Clone, Copy)]
pub(super) struct Refusals {
    pub(super) id: Refusal,
    pub(super) query: Refusal,
}

/// Reads the query of a list; `paged` routes have a page even when none is named.
pub(super) fn query(
    pairs: &[(String, String)],
    paged: bool,
    refusals: Refusals,
) -> Result<ListQuery, ApiError> {
    let mut query = ListQuery { page: paged.then_some(1), per_page: PER_PAGE, ..ListQuery::default() };
    for (key, value) in pairs {
        let values = value.split(',').map(str::trim).filter(|v| !v.is_empty());
        match key.trim_end_matches("[]") {
            "ids" => {
                for text in values {
                    query.ids.push(path::id(text, refusals.id)?);
                }
            }
            // No text of a database holds a NUL; PostgreSQL would refuse the whole statement.
            "codes" if value.contains('\0') => return Err(refusals.query.into()),
            "codes" => query.codes.extend(values.map(str::to_owned)),
            "user_id" if !value.is_empty() => query.user_id = Some(path::id(value, refusals.id)?),
            "page" if paged => query.page = Some(number(value, refusals)?.max(1)),
            "limit" if paged => query.per_page = number(value, refusals)?.clamp(1, MOST_PER_PAGE),
            _ => {}
        }
    }
    Ok(query)
}

fn number(text: &str, refusals: Refusals) -> Result<u32, ApiError> {
    // Larger than any page there can be is legal and empty; what is not a number at all is an error.
    match text.parse::<u64>() {
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(refusals.query.into()),
    }
}

/// The rows, each as `Body`, under C's name of the list; the answer to a paged query says where the page stands.
pub(super) fn answer<Row, Body: From<Row> + Serialize>(
    name: &'static str,
    listed: Listed<Row>,
    query: &ListQuery,
) -> Response {
    let paginator = query.page.map(|current_page| Paginator {
        total: listed.total,
        count: listed.rows.len(),
        per_page: query.per_page,
        current_page,
    });
    let rows: Vec<Body> = listed.rows.into_iter().map(Body::from).collect();
    envelope::success(Rows { name, rows, paginator })
}

/// Where a page stands in its list.
#[derive(Serialize)]
struct Paginator {
    total: u64,
    count: usize,
    per_page: u32,
    current_page: u32,
}

struct Rows<Body> {
    name: &'static str,
    rows: Vec<Body>,
    paginator: Option<Paginator>,
}

impl<Body: Serialize> Serialize for Rows<Body> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.name, &self.rows)?;
        if let Some(paginator) = &self.paginator {
            map.serialize_entry("paginator", paginator)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSALS: Refusals = Refusals { id: Refusal(1, ""), query: Refusal(2, "") };

    fn read(pairs: &[(&str, &str)], paged: bool) -> Result<ListQuery, ApiError> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        query(&pairs, paged, REFUSALS)
    }

    #[test]
    fn pages_have_bounds() {
        let page = read(&[("page", "0"), ("limit", "1000000000")], true).unwrap();
        assert_eq!((page.page, page.per_page), (Some(1), 100));
        let first = read(&[], true).unwrap();
        assert_eq!((first.page, first.per_page), (Some(1), 15));
        assert_eq!(read(&[("page", "2")], false).unwrap().page, None);
        let far = read(&[("page", "99999999999")], true).unwrap();
        assert_eq!(far.page, Some(u32::MAX));
        assert_eq!(read(&[("page", "x")], true), Err(ApiError::Business { code: 2, message: "" }));
    }

    #[test]
    fn a_nul_is_no_part_of_any_code() {
        for pairs in [[("codes", "\0")], [("codes[]", "pro,fr\0ee")]] {
            assert_eq!(read(&pairs, false), Err(ApiError::Business { code: 2, message: "" }));
        }
    }

    #[test]
    fn ids_are_read_in_every_spelling() {
        let id = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
        for pairs in [
            &[("ids", id), ("ids", id)][..],
            &[("ids[]", id), ("ids[]", id)][..],
            &[("ids", &*format!("{id},{id}"))][..],
        ] {
            assert_eq!(read(pairs, false).unwrap().ids.len(), 2);
        }
        assert_eq!(read(&[("ids", "x")], false), Err(ApiError::Business { code: 1, message: "" }));
    }
}
