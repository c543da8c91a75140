-- How is the network as a whole? Sums since the first slot, kept while blocks come. (by index)
SELECT * FROM analytics.network_processed;
