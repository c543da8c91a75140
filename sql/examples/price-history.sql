-- How did the prices of each model change? (by index)
SELECT name, model, slot, at, price_in_lamports, price_out_lamports, price_in_change_lamports, price_out_change_lamports
FROM analytics.model_prices
WHERE price_in_change_lamports IS NULL OR price_in_change_lamports <> 0 OR price_out_change_lamports <> 0
ORDER BY model, slot;
