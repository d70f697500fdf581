use super::*;

#[test]
fn an_owner_cannot_imitate_a_problem_of_the_gateway() {
    let problem = ripost_runtime::Problem {
        kind: "../insufficient balance:x".into(),
        title: "Nope".into(),
        detail: None,
        status: None,
        attributes: vec![("status".into(), "200".into())],
    };
    let json: serde_json::Value = serde_json::from_slice(&Problem::of_owner("demo", 400, problem).to_json()).unwrap();
    assert_eq!(json["type"], "urn:ripost:owner:demo:problem:---insufficient-balance-x");
    assert_eq!(json["status"], 400);
    assert_eq!(json["attributes"]["status"], "200");
}

#[test]
fn every_kind_has_a_type_of_its_own_and_its_body() {
    let bodies: std::collections::BTreeMap<_, _> =
        Kind::ALL.iter().map(|kind| (kind.slug(), Problem::new(*kind, "What to do."))).collect();
    assert_eq!(bodies.len(), Kind::ALL.len(), "two kinds have one slug");
    insta::assert_json_snapshot!("kinds", bodies);
}

#[test]
fn a_problem_of_the_gateways_leads_to_its_page_and_an_owners_does_not() {
    let link = |problem: Problem| problem.into_response().headers().get("link").cloned();
    let ours = link(Problem::new(Kind::NotFound, "Look elsewhere."));
    assert_eq!(ours.unwrap(), r#"</problems/not-found>; rel="help""#);
    let owners = ripost_runtime::Problem {
        kind: "no".into(),
        title: "No".into(),
        detail: None,
        status: None,
        attributes: Vec::new(),
    };
    assert_eq!(link(Problem::of_owner("demo", 400, owners)), None);
}
