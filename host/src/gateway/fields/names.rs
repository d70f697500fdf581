//! What the gateway's fields are called, and what is nearly called so.

/// A field that a caller gives the gateway rather than the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    WebhookUrl,
    WebhookEvents,
    MaxPrice,
}

impl Name {
    pub(super) const ALL: [Self; 3] = [Self::WebhookUrl, Self::WebhookEvents, Self::MaxPrice];

    /// In a JSON body.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::WebhookUrl => "webhook_url",
            Self::WebhookEvents => "webhook_events",
            Self::MaxPrice => "max_price_usdc",
        }
    }

    /// With any body.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::WebhookUrl => "Ripost-Webhook-Url",
            Self::WebhookEvents => "Ripost-Webhook-Events",
            Self::MaxPrice => "Ripost-Max-Price",
        }
    }

    /// What a caller loses whose field is not read.
    pub(super) const fn loss(self) -> &'static str {
        match self {
            Self::WebhookUrl => "no webhook would be sent",
            Self::WebhookEvents => "the webhooks would not be those that it asks for",
            Self::MaxPrice => "the call would have no price limit",
        }
    }

    /// The field of exactly this name.
    pub(super) fn exactly(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.field().as_bytes() == name)
    }

    /// The field that a name is another spelling of (`webhookUrl`, `Max-Price-USDC`), or stands for with the services
    /// that most callers know (`callback_url`). Names of other fields may be the owner's.
    pub(crate) fn nearly(name: &[u8]) -> Option<Self> {
        /// As they are without separators and capitals.
        const NEAR: [(&[u8], Name); 6] = [
            (b"webhookurl", Name::WebhookUrl),
            (b"webhookuri", Name::WebhookUrl),
            (b"callbackurl", Name::WebhookUrl),
            (b"callbackuri", Name::WebhookUrl),
            (b"webhookevents", Name::WebhookEvents),
            (b"maxpriceusdc", Name::MaxPrice),
        ];
        // Most names end here.
        if !(10..=16).contains(&name.len()) || !matches!(name[0] | 0x20, b'w' | b'c' | b'm') {
            return None;
        }
        let is = |plain: &[u8]| {
            let letters = name.iter().filter(|byte| !matches!(byte, b'_' | b'-' | b'.' | b' '));
            letters.map(u8::to_ascii_lowercase).eq(plain.iter().copied())
        };
        let near = NEAR.into_iter().find(|(plain, _)| is(plain)).map(|(_, field)| field);
        near.filter(|field| field.field().as_bytes() != name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_a_field_are_near_and_the_field_itself_and_other_words_are_not() {
        for (name, field) in [
            ("webhookUrl", Name::WebhookUrl),
            ("webhookURL", Name::WebhookUrl),
            ("webhook-url", Name::WebhookUrl),
            ("WEBHOOK_URL", Name::WebhookUrl),
            ("webhookurl", Name::WebhookUrl),
            ("Webhook Url", Name::WebhookUrl),
            ("callback_url", Name::WebhookUrl),
            ("callbackUrl", Name::WebhookUrl),
            ("webhook_uri", Name::WebhookUrl),
            ("callbackURI", Name::WebhookUrl),
            ("webhookEvents", Name::WebhookEvents),
            ("maxPriceUsdc", Name::MaxPrice),
            ("max-price-usdc", Name::MaxPrice),
        ] {
            assert_eq!(Name::nearly(name.as_bytes()), Some(field), "{name}");
        }
        for name in ["", "url", "webhook", "callback", "webhook_urls", "my_webhook_url", "max_price", "redirect_url"] {
            assert_eq!(Name::nearly(name.as_bytes()), None, "{name}");
        }
        for field in Name::ALL {
            assert_eq!(Name::nearly(field.field().as_bytes()), None);
            assert_eq!(Name::exactly(field.field().as_bytes()), Some(field));
        }
    }
}
