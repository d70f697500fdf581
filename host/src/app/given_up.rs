/// What the operator gives up for one start, because it cannot be restored. Without it, a loss is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenUp {
    /// What the lost master key had sealed.
    pub new_master_key: bool,
    /// What the lost folder of revisions held.
    pub new_revisions: bool,
}
