pub(crate) fn part_names() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(["x"])
}
pub(crate) fn run(_: bool, _: &[String]) -> anyhow::Result<()> {
    Ok(())
}
pub(crate) fn serve_echo() -> anyhow::Result<()> {
    Ok(())
}
