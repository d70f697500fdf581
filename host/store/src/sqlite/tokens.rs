//! Tokens of the management API.

use super::rows;
use super::writer::Work;
use crate::store::{Role, Token};
use ripost_domain::id::TokenId;
use rusqlite::{Connection, Row, params};

const OPERATOR: &str = "operator";
const OWNER: &str = "owner";

/// False if the name is taken.
pub(super) fn add(work: &mut Work<'_>, token: &Token) -> rusqlite::Result<bool> {
    let (role, owner) = match &token.role {
        Role::Operator => (OPERATOR, None),
        Role::Owner(owner) => (OWNER, Some(owner.as_str())),
    };
    let added = work
        .connection
        .prepare_cached(
            "INSERT INTO tokens (id, name, hash, role, owner, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (name) DO NOTHING",
        )?
        .execute(params![
            token.id.as_bytes(),
            token.name,
            &token.hash[..],
            role,
            owner,
            token.created_at.as_millis()
        ])?;
    Ok(added == 1)
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Token>> {
    connection
        .prepare_cached("SELECT id, name, hash, role, owner, created_at FROM tokens ORDER BY name")?
        .query_map([], token)?
        .collect()
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let owner = row.get::<_, Option<String>>("owner")?.map(|_| rows::name(row, "owner")).transpose()?;
    Ok(Token {
        id: TokenId::from_bytes(rows::id(row, "id")?),
        name: row.get("name")?,
        hash: row.get("hash")?,
        role: rows::named(row, "role", |role| match (role, owner) {
            (OPERATOR, None) => Some(Role::Operator),
            (OWNER, Some(owner)) => Some(Role::Owner(owner)),
            _ => None,
        })?,
        created_at: rows::timestamp(row, "created_at")?,
    })
}

pub(super) fn remove(work: &mut Work<'_>, name: &str) -> rusqlite::Result<bool> {
    let removed = work.connection.prepare_cached("DELETE FROM tokens WHERE name = ?1")?.execute([name])?;
    Ok(removed == 1)
}
