-- The platform's share that the fee was computed with, in basis points: frozen at accept, because a part of the price may
-- be captured. Null for what was accepted before; then the price and its fee say it.
ALTER TABLE requests ADD COLUMN fee_bps INTEGER CHECK (fee_bps BETWEEN 0 AND 10000);

-- What was captured of a completed request whose answer named an amount; null otherwise.
ALTER TABLE requests ADD COLUMN captured INTEGER CHECK (captured BETWEEN 0 AND price);
