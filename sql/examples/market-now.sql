-- How is the Compute Market as a whole, and where are the lamports of all its leases?
SELECT * FROM analytics.market_processed;
