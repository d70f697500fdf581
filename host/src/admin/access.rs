//! Who asks, and what they may ask.

use crate::problem::{Kind, Problem};
use ripost_domain::api::Name;
use ripost_store::Role;

/// Who the bearer of a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// May do everything.
    Operator,
    /// May do what concerns this owner alone.
    Owner(Name),
}

impl Principal {
    /// The owner that what is shown must be of; `None`: everybody's.
    #[must_use]
    pub fn only(&self) -> Option<&Name> {
        match self {
            Self::Operator => None,
            Self::Owner(owner) => Some(owner),
        }
    }

    /// Whether it may see what is this owner's.
    #[must_use]
    pub fn sees(&self, owner: &str) -> bool {
        self.only().is_none_or(|own| own.as_str() == owner)
    }
}

impl From<Role> for Principal {
    fn from(role: Role) -> Self {
        match role {
            Role::Operator => Self::Operator,
            Role::Owner(owner) => Self::Owner(owner),
        }
    }
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Operators.
    Operator,
    /// Operators, and the owner whom the path names first.
    Owner,
    /// Whoever has a token; an owner is shown what is its own.
    Everyone,
}

impl Who {
    /// As the list of routes has it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
            Self::Everyone => "everyone",
        }
    }

    /// Whether the principal may use the route; `named` is the first name in the path.
    pub(super) fn admits(self, principal: &Principal, named: Option<&str>) -> Result<(), Problem> {
        match (principal, self) {
            (Principal::Operator, _) | (_, Self::Everyone) => Ok(()),
            (Principal::Owner(owner), Self::Owner) if named == Some(owner.as_str()) => Ok(()),
            (Principal::Owner(owner), Self::Owner) => {
                let detail = format!(
                    "This token has the role owner, for `{owner}` alone. Use a token of that owner, or one with the role operator."
                );
                Err(Problem::new(Kind::Forbidden, detail).with("role", "owner"))
            }
            (Principal::Owner(_), Self::Operator) => {
                let detail = "This needs a token with the role operator, and this one has the role owner.";
                Err(Problem::new(Kind::Forbidden, detail).with("role", "operator"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_may_use_what_names_it_first_and_what_is_everyones() {
        let owner = Principal::Owner("demo".parse().unwrap());
        for (who, named, admitted) in [
            (Who::Operator, None, false),
            (Who::Operator, Some("demo"), false),
            (Who::Owner, None, false),
            (Who::Owner, Some("other"), false),
            (Who::Owner, Some("demo"), true),
            (Who::Everyone, None, true),
        ] {
            assert_eq!(who.admits(&owner, named).is_ok(), admitted, "{who:?} {named:?}");
            assert!(who.admits(&Principal::Operator, named).is_ok());
        }
    }
}
