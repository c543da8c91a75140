// Made from clients/sdk/openapi.json by `npm run generate`; do not edit.

export type paths = {
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Components, index lag in slots, open alarms by kind, reconciliation. 200 while requests can be served, else 503. */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/livez": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The process answers: restart it when this does not. */
        get: operations["live"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Metrics in Prometheus' text format. */
        get: operations["metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Requests can be sent here: chain and database answered within 15 s, and the gateway is not stopping. */
        get: operations["ready"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cases": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Cases, newest first, each with its phase and the slots left of it. `/v1/disputes` is the same. */
        get: operations["list_cases"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/cases/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One case: phase with its countdown, claims, jurors, checked positions, posted output, amounts. Logits are Q16.16.
         *     `/v1/disputes/{id}` is the same. */
        get: operations["show_case"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/chat/completions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** OpenAI's chat completions, streamed or whole. */
        post: operations["create_chat_completion"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/classes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Classes of capacity, the newest first. */
        get: operations["list_classes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/completions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** OpenAI's older text completions, streamed or whole: the text itself is continued. */
        post: operations["create_completion"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/credit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Says what the wallet that signs the request has prepaid. */
        get: operations["show_credit"];
        put?: never;
        /** Credits a finalized transfer to the operator: from the wallet that signs the request, or from anybody if the transfer names
         *     the wallet as its one further account. Each is credited once, however often it is told of. */
        post: operations["pay_in"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/estimate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** What a request would cost, and everything a client needs to sign RequestInference itself. */
        post: operations["estimate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/inference": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** One prompt: its whole answer, or an open job at once. */
        post: operations["create_inference"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Jobs, newest first. */
        get: operations["list_jobs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/jobs/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One job: status with its transitions, amounts, hashes. To the key that paid also `output`, for 24 hours. */
        get: operations["show_job"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/jobs/{id}/evidence": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The evidence of a job as its validator gave it with the answer; it authenticates itself against the chain. It holds the
         *     prompt, so it is shown to the key that paid, to the job's owner and to validators that can judge the result, while they can. */
        get: operations["show_evidence"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/jobs/{id}/receipt": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What was paid to whom for a job, and every attempt of the request it belongs to. */
        get: operations["show_receipt"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/jobs/{id}/result": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** The result of a job that this gateway sent, checked against what the chain has of it. */
        put: operations["bring_result"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Lists the keys of the wallet that signs the request, newest first, without their secrets. */
        get: operations["list_keys"];
        put?: never;
        /** Makes an API key for the wallet that signs the request. The key is shown this once. */
        post: operations["create_key"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/keys/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Revokes a key of the wallet that signs the request. The spend grant stays until the wallet revokes it on chain. */
        delete: operations["revoke_key"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/leases": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Leases, newest first, each with its meter, its money and what comes next. */
        get: operations["list_leases"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/leases/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One lease: state, meter, newest epochs, every lamport by its name, and what happened to it. */
        get: operations["show_lease"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/leases/{id}/disputes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Disputes about a lease, the newest first. */
        get: operations["list_lease_disputes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/leases/{id}/epochs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Epochs of a lease, the newest first: all that were metered, those that its account has forgotten too. */
        get: operations["list_lease_epochs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/market": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The Compute Market at a glance: capacity, requests, leases, and where all lamports of its leases are. Some seconds old at most. */
        get: operations["show_market"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/models": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Models that this gateway serves, in OpenAI's shape, with price, context and validators. Retired ones are not offered. */
        get: operations["list_models"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/models/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One model. */
        get: operations["show_model"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/models/{id}/prices": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Prices of a model by finalized blocks that wrote it, the newest first: of any model on chain by its address, of those that this
         *     gateway serves also by their id. */
        get: operations["list_model_prices"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/network": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The network at a glance. What is not known is null. */
        get: operations["show_network"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/nodes/{validator}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /** A validator's models, queue and speed, every 10 seconds, signed by its operator. */
        put: operations["announce_node"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/prompts/{prompt_hash}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The prompt of an accepted job, for the operator that accepted it. */
        get: operations["show_prompt"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/providers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Providers, the newest first, with capacity, price, stake, and how they have served. */
        get: operations["list_providers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/providers/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One provider, by its authority or its account's address. */
        get: operations["show_provider"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/requests": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Requests of capacity, the newest first, with what was paid in for each and what became of it. */
        get: operations["list_lease_requests"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/requests/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One request of capacity. */
        get: operations["show_lease_request"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/responses": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** OpenAI's responses, streamed or whole, without what is kept of them there: `input` says all that the model is to know. */
        post: operations["create_response"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/stats/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Statistics by name: `daily`, `burns`, `settlements`, `slashes`, `fingerprints`, `burned`, `market`. The last two are of finalized blocks,
         *     whatever the commitment, and a minute old at most. */
        get: operations["list_statistic"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/stream": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The feed as server-sent events: `id` is the event's number, `data` its JSON; missing ones are told by an event `gap`. */
        get: operations["follow_events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/validators": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Validators by the order of their registration, with what they announce of themselves. */
        get: operations["list_validators"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/validators/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One validator, by its authority or its account's address. */
        get: operations["show_validator"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/ws": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The feed over WebSocket: one JSON text message per event, `{gap:{from,to}}` for missing ones. */
        get: operations["follow_websocket"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
};
export type webhooks = Record<string, never>;
export type components = {
    schemas: {
        /** @description Open alarms of a kind. */
        AlarmKind: {
            clears_itself?: boolean | null;
            kind: string;
            newest?: string | null;
            newest_at?: string | null;
            /** Format: int64 */
            open: number;
            since: string;
        };
        /** @description `ok` or `raised`, with the open alarms by kind. */
        AlarmsState: components["schemas"]["Part"] & {
            kinds: components["schemas"]["AlarmKind"][];
        };
        /** @description `PUT /v1/nodes/:validator` (`:validator` = base58 authority), signed by the validator's operator, every 10 s. */
        Announcement: {
            /**
             * Format: double
             * @description Decoded tokens a second of all its jobs together, over recent work; `None` before the first.
             */
            all_tokens_per_second?: number | null;
            /** @description True when it takes no new jobs (it is stopping). */
            draining: boolean;
            /** @description Public URL of the node. */
            endpoint: string;
            /**
             * Format: int32
             * @description Jobs it runs at once.
             */
            max_concurrent: number;
            /** @description Models it serves now. */
            models: components["schemas"]["OfferedModel"][];
            /**
             * Format: int32
             * @description Jobs that wait for a place.
             */
            queued: number;
            /**
             * Format: int64
             * @description Output tokens that running and waiting jobs may still need.
             */
            queued_tokens: number;
            /**
             * Format: int32
             * @description Jobs that generate now.
             */
            running: number;
            /**
             * Format: double
             * @description Decoded tokens a second of one job, over recent work; `None` before the first.
             */
            tokens_per_second?: number | null;
            /** @description Base58 authority of the validator. */
            validator: string;
            /** @description Version of the node's software. */
            version: string;
        };
        /** @description An announcement was noted. */
        AnnouncementNoted: {
            noted: boolean;
            /** @description `announcement`. */
            object: string;
            /** @description Authority, base58. */
            validator: string;
        };
        /** @description What the model says. */
        AnswerMessage: {
            /** @description Always empty. */
            annotations: string[];
            /** @description Null where it only calls functions. */
            content?: string | null;
            /** @description Always null. */
            refusal?: string | null;
            /** @description `assistant`. */
            role: string;
            /** @description Functions that the client is to call. */
            tool_calls?: components["schemas"]["ToolCall"][];
        };
        /** @description An API key. */
        ApiKey: {
            /**
             * Format: int64
             * @description Unix seconds.
             */
            created: number;
            /** @description Signs for the wallet, within the spend grant that the wallet gives it on chain. */
            delegate: string;
            /** @description Address of the delegate's spend grant. */
            grant: string;
            id: string;
            /** @description The key itself, shown when it is made and never again. */
            key?: string | null;
            name: string;
            object: string;
            revoked: boolean;
            /** @description Address of the wallet's vault. */
            vault: string;
            /** @description The wallet whose vault pays. */
            wallet: string;
        };
        /** @description Keys of a wallet. */
        ApiKeys: {
            data: components["schemas"]["ApiKey"][];
            has_more: boolean;
            object: string;
        };
        /** @description Name and arguments of a call. */
        CalledFunction: {
            /** @description JSON, of the schema that the request gave; cut off where the answer was. */
            arguments: string;
            name: string;
        };
        /** @description What is said against a job's result, or a proven fault of it (ground `fault`): one case a job. Amounts are lamports; what is
         *     not known yet is null. */
        Case: {
            /**
             * Format: int64
             * @description What all claimants paid in.
             */
            bonds_lamports: number;
            /** Format: int64 */
            burned_lamports?: number | null;
            /** @description Who got the reward, else who opened it or proved the fault, base58. */
            challenger?: string | null;
            /**
             * Format: int64
             * @description What all claimants got, bonds that returned among it.
             */
            claimants_lamports?: number | null;
            /**
             * Format: int64
             * @description How many claims there are.
             */
            claims: number;
            /** Format: int64 */
            closed_slot?: number | null;
            /** @description Resolved, and everybody has what is due. */
            collected: boolean;
            /** Format: int64 */
            commit_end_slot?: number | null;
            /** Format: int64 */
            commit_from_slot?: number | null;
            /** @description Commitment of its newest change. */
            commitment: string;
            /** Format: int64 */
            committed_seats: number;
            /**
             * Format: int64
             * @description Stake of all who committed to the jury: the most that it can take.
             */
            committed_stake_lamports: number;
            /** Format: int64 */
            due_slot?: number | null;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /** @description Whether the model's arithmetic is the same on every machine. */
            exact_profile: boolean;
            /**
             * Format: int64
             * @description Those of them that say `false`.
             */
            false_claims: number;
            /** @description The result's, 64 hex digits. */
            fingerprint: string;
            /** @description `jury`, `unanswered`, `no_claim`, `fault`, `no_quorum` or `too_few_judges`. */
            ground?: string | null;
            /** @description Address of its account, base58. */
            id: string;
            /** @description Address of the job, base58. */
            job: string;
            /** @description Status of the job. */
            job_status?: string | null;
            /** Format: int64 */
            joining_end_slot?: number | null;
            /** Format: int64 */
            jurors_lamports?: number | null;
            /** Format: int64 */
            jury_seats: number;
            /** Format: int64 */
            leaves_due_slot?: number | null;
            /** Format: int64 */
            leaves_slot?: number | null;
            /** @description Id of the model if this gateway serves it, else its address. */
            model?: string | null;
            /** @description Address of the model, base58. */
            model_address?: string;
            /**
             * Format: int64
             * @description Positions that claims name.
             */
            named_positions: number;
            next?: null | components["schemas"]["NextPhase"];
            /** @description `case`. */
            object?: string;
            opened_at?: string | null;
            /**
             * Format: int64
             * @description Positions that were shown.
             */
            opened_positions: number;
            /** Format: int64 */
            opened_slot: number;
            /**
             * Format: int64
             * @description Chunks of 128 token ids posted.
             */
            output_chunks_posted?: number | null;
            /** Format: int64 */
            output_tokens?: number | null;
            /**
             * Format: int64
             * @description What jurors lost.
             */
            penalties_lamports?: number | null;
            /** @description Where it stands at `slot`: `opening` (output and positions are awaited), `joining` (others may join), `showing` (what
             *     those named is awaited), `draw`, `commit`, `reveal`, `due` (anyone may end it), `resolved` or `closed`. */
            phase?: string | null;
            /** @description Who proved a fault, base58. */
            prover?: string | null;
            /** Format: int64 */
            prover_lamports?: number | null;
            resolved_at?: string | null;
            /** Format: int64 */
            resolved_slot?: number | null;
            /** Format: int64 */
            reveal_end_slot?: number | null;
            /** Format: int64 */
            revealed_seats: number;
            /**
             * Format: int64
             * @description The part of the slash that a claimant or prover got.
             */
            reward_lamports?: number | null;
            /**
             * Format: int64
             * @description Positions that were drawn.
             */
            sampled_positions: number;
            /**
             * Format: int64
             * @description Slot in which output, sample and the opener's positions were shown.
             */
            shown_slot?: number | null;
            /** Format: int64 */
            slashed_lamports?: number | null;
            /**
             * Format: int64
             * @description Newest slot of the index.
             */
            slot?: number | null;
            /**
             * Format: int64
             * @description The submitter's whole stake at its result: what bonds are computed on.
             */
            stake_at_result_lamports: number;
            /** @description `opening`, `joining`, `jury` or `resolved`. */
            status: string;
            /** Format: int64 */
            submitted_slot?: number | null;
            /** @description Authority of the validator whose result it is about, base58. */
            submitter: string;
            /** Format: int64 */
            submitter_lamports?: number | null;
            /**
             * Format: int64
             * @description What a juror gets where the jury decides.
             */
            tariff_lamports: number;
            /** @description `guilty`, `not_guilty`, `void` or `fault`. */
            verdict?: string | null;
        };
        /** @description A case with all that belongs to it. */
        CaseDetails: components["schemas"]["Case"] & {
            /** @description What is claimed, in the order in which it was. */
            all_claims: components["schemas"]["ClaimRow"][];
            /** @description Taken seats of the jury. */
            jurors: components["schemas"]["JurorRow"][];
            /** @description Positions that it checks, and the leaf of a proven fault. */
            openings: components["schemas"]["OpeningRow"][];
            /** @description Pages of the posted output. */
            output: components["schemas"]["OutputRow"][];
        };
        /** @description The chain's RPC. */
        ChainState: components["schemas"]["Part"] & {
            /** Format: int64 */
            slot?: number | null;
        };
        /** @description Body of `POST /v1/chat/completions`. */
        ChatBody: {
            chat_template_kwargs?: null | components["schemas"]["TemplateBody"];
            /** @description Objects that the answer is to rest on, at most 128, where the model's template reads them. */
            documents?: {
                [key: string]: unknown;
            }[] | null;
            /** @description Whether the model thinks before it answers, where its template can switch that. */
            enable_thinking?: boolean | null;
            /**
             * Format: double
             * @description Off the logits for each time that the answer has the token, -2 to 2.
             */
            frequency_penalty?: number | null;
            /** @description From token ids to what is added to their logits, -100 to 100; at most 1,024. */
            logit_bias?: {
                [key: string]: number;
            } | null;
            /** @description Log-probabilities of the answer's tokens. */
            logprobs?: boolean | null;
            /**
             * Format: int32
             * @description Most tokens of an answer; 512 or what fits without one.
             */
            max_completion_tokens?: number | null;
            /**
             * Format: int32
             * @description The older name of `max_completion_tokens`.
             */
            max_tokens?: number | null;
            /** @description 1 to 4096 messages. */
            messages: components["schemas"]["RequestMessage"][];
            /** @description Ignored. */
            metadata?: {
                [key: string]: string;
            } | null;
            /**
             * Format: double
             * @description Only tokens with at least this share of the likeliest one's probability, 0 to 1.
             */
            min_p?: number | null;
            /** @description A model of `GET /v1/models`, by `id` or `name`; the default one without it. */
            model?: string | null;
            mythic?: null | components["schemas"]["Payment"];
            /**
             * Format: int32
             * @description Choices, 1 to 8; each is a job of its own and pays the prompt anew.
             */
            n?: number | null;
            /** @description Several calls in one answer; true without one. */
            parallel_tool_calls?: boolean | null;
            /**
             * Format: double
             * @description Off the logits of tokens that the answer has, -2 to 2.
             */
            presence_penalty?: number | null;
            /** @description `none`, `low`, `medium` or `high`, where the model's template reads it. */
            reasoning_effort?: string | null;
            /**
             * Format: double
             * @description Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
             */
            repetition_penalty?: number | null;
            response_format?: null | components["schemas"]["ResponseFormat"];
            /**
             * Format: int64
             * @description Fixes the draw for a job; requests are different jobs, so their answers differ unless `temperature` is 0.
             */
            seed?: number | null;
            stop?: null | components["schemas"]["Stop"];
            /** @description Ignored. */
            store?: boolean | null;
            /** @description Server-sent events instead of one JSON. */
            stream?: boolean | null;
            stream_options?: null | components["schemas"]["StreamOptions"];
            /**
             * Format: double
             * @description 0 to 2, 1 without one.
             */
            temperature?: number | null;
            tool_choice?: null | components["schemas"]["ToolChoiceBody"];
            /** @description Functions that the model may call, at most 128. */
            tools?: components["schemas"]["ToolBody"][] | null;
            /**
             * Format: int32
             * @description Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
             */
            top_k?: number | null;
            /**
             * Format: int32
             * @description Candidates of each token, 0 to 4.
             */
            top_logprobs?: number | null;
            /**
             * Format: double
             * @description Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
             */
            top_p?: number | null;
            /** @description Ignored. */
            user?: string | null;
        };
        /** @description One choice of a whole answer. */
        ChatChoice: {
            /** @description `stop`, `length` or `tool_calls`. */
            finish_reason: string;
            /** Format: int32 */
            index: number;
            logprobs?: null | components["schemas"]["Logprobs"];
            /** @description What the model says. */
            message: components["schemas"]["AnswerMessage"];
        };
        /** @description A whole answer. */
        ChatCompletion: {
            /** @description One for each of `n`. */
            choices: components["schemas"]["ChatChoice"][];
            /**
             * Format: int64
             * @description Unix seconds.
             */
            created: number;
            /** @description `chatcmpl-` and the first choice's job. */
            id: string;
            /** @description The model's id, `name@` 8 hex digits of its identity. */
            model: string;
            /** @description Jobs and price. */
            mythic: components["schemas"]["Mythic"];
            /** @description `chat.completion`. */
            object: string;
            /** @description `default`. */
            service_tier: string;
            /** @description What answered: the model's identity and how tokens are chosen (`top4`: from the four likeliest, `full`: by the options). */
            system_fingerprint: string;
            usage: components["schemas"]["Usage"];
        };
        /** @description One event of a stream. */
        ChatCompletionChunk: {
            /** @description One choice; none in the chunk of `usage`. */
            choices: components["schemas"]["ChunkChoice"][];
            /**
             * Format: int64
             * @description Unix seconds.
             */
            created: number;
            /** @description `chatcmpl-` and the first choice's job. */
            id: string;
            /** @description The model's id. */
            model: string;
            mythic?: null | components["schemas"]["Mythic"];
            /** @description `chat.completion.chunk`. */
            object: string;
            /** @description `default`. */
            service_tier: string;
            /** @description What answered. */
            system_fingerprint: string;
            usage?: null | components["schemas"]["Usage"];
        };
        /** @description A step of a choice. */
        ChunkChoice: {
            /** @description What comes to the answer. */
            delta: components["schemas"]["Delta"];
            /** @description Null until the last: `stop`, `length` or `tool_calls`. */
            finish_reason?: string | null;
            /** Format: int32 */
            index: number;
            logprobs?: null | components["schemas"]["Logprobs"];
        };
        /** @description A claim in a case. */
        ClaimRow: {
            /**
             * Format: int64
             * @description What it gets, of its bond and as a reward.
             */
            amount_lamports?: number | null;
            /** Format: int64 */
            answering_fee_lamports: number;
            /**
             * Format: int64
             * @description What of it is burned if it is wrong.
             */
            at_stake_lamports: number;
            /**
             * Format: int64
             * @description What it paid in.
             */
            bond_lamports: number;
            /** @description Authority, base58. */
            claimant: string;
            /** Format: int64 */
            claimed_slot: number;
            collected: boolean;
            /** @description Digest of them as they were shown, hex. */
            digest?: string | null;
            /**
             * Format: int64
             * @description Which of a juror's digests is of them; null if it names none.
             */
            digest_place?: number | null;
            /** @description `withheld` or `false`. */
            kind: string;
            /** @description `right`, `wrong` or `undecided`; null until the case is resolved. */
            outcome?: string | null;
            /**
             * Format: int64
             * @description Its number, from 0.
             */
            place: number;
            /** @description Positions that it names. */
            positions?: number[] | null;
            /** Format: int64 */
            reward_lamports?: number | null;
            /**
             * Format: int64
             * @description For the jury; only of the first that says `false`.
             */
            tariffs_lamports: number;
        };
        /** @description A class of capacity: what each unit proves in each epoch, and the stake behind it. */
        Class: {
            /** @description Whether the probe's time was measured on the device that the class is named after. */
            calibrated: boolean;
            /** @description Commitment of its newest change. */
            commitment: string;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /** @description Address of its account, base58. */
            id: string;
            /**
             * Format: int64
             * @description Side of the matrices that each unit multiplies.
             */
            matrix_side: number;
            name: string;
            /** @description `class`. */
            object?: string;
            /**
             * Format: int64
             * @description Slots from the beginning of an epoch in which its proof is taken.
             */
            proof_slots: number;
            registered_at?: string | null;
            /** Format: int64 */
            registered_slot: number;
            /** @description No new providers and requests. */
            retired: boolean;
            /** Format: int64 */
            retired_slot?: number | null;
            /**
             * Format: int64
             * @description Products that each unit computes in each epoch.
             */
            rounds: number;
            /** Format: int64 */
            stake_per_unit_lamports: number;
            /**
             * Format: int64
             * @description Memory of a unit's GPU in MiB, as the class says; nothing proves it.
             */
            vram_mib: number;
        };
        /** @description Body of `POST /v1/completions`. */
        CompletionBody: {
            /**
             * Format: double
             * @description Off the logits for each time that the answer has the token, -2 to 2.
             */
            frequency_penalty?: number | null;
            /** @description From token ids to what is added to their logits, -100 to 100; at most 1,024. */
            logit_bias?: {
                [key: string]: number;
            } | null;
            /**
             * Format: int32
             * @description Candidates of each token, 0 to 4.
             */
            logprobs?: number | null;
            /**
             * Format: int32
             * @description Most tokens of an answer; 16 without one.
             */
            max_tokens?: number | null;
            /**
             * Format: double
             * @description Only tokens with at least this share of the likeliest one's probability, 0 to 1.
             */
            min_p?: number | null;
            /** @description A model of `GET /v1/models`; the default one without it. */
            model?: string | null;
            mythic?: null | components["schemas"]["Payment"];
            /**
             * Format: int32
             * @description Choices, 1 to 8; each is a job of its own and pays the prompt anew.
             */
            n?: number | null;
            /**
             * Format: double
             * @description Off the logits of tokens that the answer has, -2 to 2.
             */
            presence_penalty?: number | null;
            /** @description What is continued. */
            prompt: components["schemas"]["TextPrompt"];
            /**
             * Format: double
             * @description Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
             */
            repetition_penalty?: number | null;
            response_format?: null | components["schemas"]["ResponseFormat"];
            /**
             * Format: int64
             * @description Fixes the draw for a job.
             */
            seed?: number | null;
            stop?: null | components["schemas"]["Stop"];
            /** @description Server-sent events instead of one JSON. */
            stream?: boolean | null;
            stream_options?: null | components["schemas"]["StreamOptions"];
            /**
             * Format: double
             * @description 0 to 2, 1 without one.
             */
            temperature?: number | null;
            /**
             * Format: int32
             * @description Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
             */
            top_k?: number | null;
            /**
             * Format: double
             * @description Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
             */
            top_p?: number | null;
        };
        /** @description Parts of the answer. */
        CompletionTokensDetails: {
            /** Format: int64 */
            accepted_prediction_tokens: number;
            /** Format: int64 */
            audio_tokens: number;
            /** Format: int64 */
            reasoning_tokens: number;
            /** Format: int64 */
            rejected_prediction_tokens: number;
        };
        /** @description What the gateway consists of and needs. */
        Components: {
            alarms: components["schemas"]["AlarmsState"];
            chain: components["schemas"]["ChainState"];
            database: components["schemas"]["Part"];
            fee_payer: components["schemas"]["PayerState"];
            feed: components["schemas"]["FeedState"];
            index: components["schemas"]["IndexState"];
            requests: components["schemas"]["RequestsState"];
            settler: components["schemas"]["SettlerState"];
            validators: components["schemas"]["ValidatorsState"];
        };
        /** @description Text, or its parts. */
        Content: string | components["schemas"]["ContentPart"][];
        /** @description A part of a message. */
        ContentPart: {
            /** @description The text of a `refusal`. */
            refusal?: string | null;
            /** @description The text of a `text`. */
            text?: string | null;
            /** @description `text` or `refusal`. */
            type: string;
        };
        /** @description Body of `POST /v1/keys`. */
        CreateKey: {
            /** @description The wallet's name for it, at most 100 bytes. */
            name?: string | null;
        };
        /** @description What a wallet has prepaid for fees and rent beyond what the operator lays out for free. */
        Credit: {
            /**
             * Format: int64
             * @description What can be taken now.
             */
            balance_lamports: number;
            /**
             * Format: int64
             * @description Fees that the operator still lays out for this wallet today (UTC), before credit is touched.
             */
            free_fees_left_lamports: number;
            /**
             * Format: int64
             * @description Rent of jobs that are not closed yet; it is balance again when they are.
             */
            held_lamports: number;
            object: string;
            /**
             * Format: int64
             * @description All that was paid in: the sum of the three.
             */
            paid_in_lamports: number;
            /** @description The operator's address, where transfers buy credit. */
            pay_to: string;
            payment?: null | components["schemas"]["CreditPayment"];
            /**
             * Format: int64
             * @description What went into transaction fees.
             */
            spent_lamports: number;
            wallet: string;
        };
        /** @description A transfer that was credited. */
        CreditPayment: {
            /** @description It was credited by this request; false: by an earlier one. */
            credited_now: boolean;
            /** Format: int64 */
            lamports: number;
            signature: string;
            /** Format: int64 */
            slot: number;
        };
        /** @description What a chunk adds. */
        Delta: {
            /** @description Text. */
            content?: string | null;
            /** @description `assistant`, in the first chunk. */
            role?: string | null;
            /** @description A call that begins, or more of its arguments. */
            tool_calls?: components["schemas"]["ToolCallDelta"][];
        };
        /** @description Every error, in OpenAI's shape. */
        ErrorBody: {
            error: components["schemas"]["ErrorDetail"];
        };
        /** @description What is wrong. */
        ErrorDetail: {
            /** @description Stable word that programs match on. */
            code: string;
            /** @description The job that exists already: don't send the request again by yourself. */
            job_id?: string | null;
            /** @description What is wrong and how to mend it, for people. */
            message: string;
            /** @description The request parameter at fault. */
            param?: string | null;
            /** @description `invalid_request_error`, `authentication_error`, `insufficient_quota`, `permission_error`, `rate_limit_error` or `server_error`. */
            type: string;
        };
        /** @description What a request would cost. */
        Estimate: {
            /**
             * Format: int64
             * @description For the longest answer.
             */
            ceiling_cost_lamports: number;
            /** Format: double */
            ceiling_cost_sol: number;
            /**
             * Format: int64
             * @description For the expected length, all choices together: each pays its prompt.
             */
            estimated_cost_lamports: number;
            /** Format: double */
            estimated_cost_sol: number;
            /**
             * Format: int32
             * @description Mean length of this model's answers lately; null before the first.
             */
            expected_output_tokens?: number | null;
            /** Format: int32 */
            max_output_tokens: number;
            model: string;
            object: string;
            /** Format: int32 */
            price_in_lamports_per_1k: number;
            /** Format: int32 */
            price_out_lamports_per_1k: number;
            /** Format: int32 */
            prompt_tokens: number;
            terms: components["schemas"]["Terms"];
        };
        /** @description Body of `POST /v1/estimate`: a prompt or messages. */
        EstimateBody: {
            chat_template_kwargs?: null | components["schemas"]["TemplateBody"];
            /** @description Objects that the answer is to rest on, at most 128, where the model's template reads them. */
            documents?: {
                [key: string]: unknown;
            }[] | null;
            /** @description Whether the model thinks before it answers, where its template can switch that. */
            enable_thinking?: boolean | null;
            /**
             * Format: double
             * @description Off the logits for each time that the answer has the token, -2 to 2.
             */
            frequency_penalty?: number | null;
            /** @description From token ids to what is added to their logits, -100 to 100; at most 1,024. */
            logit_bias?: {
                [key: string]: number;
            } | null;
            /**
             * Format: int32
             * @description Most tokens of the answer.
             */
            max_tokens?: number | null;
            /** @description A conversation instead. */
            messages?: components["schemas"]["RequestMessage"][] | null;
            /**
             * Format: double
             * @description Only tokens with at least this share of the likeliest one's probability, 0 to 1.
             */
            min_p?: number | null;
            /** @description A model of `GET /v1/models`; the default one without it. */
            model?: string | null;
            /**
             * Format: int32
             * @description Choices.
             */
            n?: number | null;
            /** @description Several calls in one answer; true without one. */
            parallel_tool_calls?: boolean | null;
            /**
             * Format: double
             * @description Off the logits of tokens that the answer has, -2 to 2.
             */
            presence_penalty?: number | null;
            /** @description What the user says. */
            prompt?: string | null;
            /** @description With `messages`: `none`, `low`, `medium` or `high`, where the model's template reads it. */
            reasoning_effort?: string | null;
            /**
             * Format: double
             * @description Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
             */
            repetition_penalty?: number | null;
            response_format?: null | components["schemas"]["ResponseFormat"];
            /**
             * Format: int64
             * @description Fixes the draw for the job.
             */
            seed?: number | null;
            stop?: null | components["schemas"]["Stop"];
            /**
             * Format: double
             * @description 0 to 2.
             */
            temperature?: number | null;
            tool_choice?: null | components["schemas"]["ToolChoiceBody"];
            /** @description With `messages`: functions that the model may call. */
            tools?: components["schemas"]["ToolBody"][] | null;
            /**
             * Format: int32
             * @description Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
             */
            top_k?: number | null;
            /**
             * Format: double
             * @description Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
             */
            top_p?: number | null;
        };
        /** @description What a validator keeps for each job until it can no longer be disputed. */
        Evidence: {
            fingerprint: string;
            /** @description The job account; base58 in JSON. */
            job: string;
            /** @description At each position the four largest logits, `[token id, Q16.16]`, largest first. */
            leaves: number[][][];
            /** @description The canonical bytes of the sampling options, base64 in JSON: of an answer of `seeded-full`, whose tokens its leaves don't
             *     replay; no bytes where the options are neutral. Left out for `seeded-top4`. */
            options?: string | null;
            output_ids: number[];
            prompt_ids: number[];
            salt: string;
            /** @description The job's seed. */
            seed: string;
            /** @description The validator's authority, as leaves name it; base58 in JSON. */
            submitter: string;
            /**
             * Format: int32
             * @description Temperature in thousandths.
             */
            temperature_milli: number;
            /** @description Hex in JSON, like all byte strings below. */
            terms_hash: string;
        };
        /** @description An event of the feed as a subscriber sees it. */
        FeedEvent: {
            /** @description When the index wrote it, RFC 3339. */
            at: string;
            /** @description Of the slot's block, base58. */
            blockhash: string;
            /** @description `processed`, `confirmed` or `finalized`. */
            commitment: string;
            /** @description The account that changed, base58; null where an event speaks for a whole bank. */
            entity?: string | null;
            /** @description `add`, or what became of added ones: `confirm`, `finalize` or `retract`. */
            op: string;
            /** @description What changed; its fields are those of the topic's list. */
            payload: unknown;
            /**
             * Format: int64
             * @description Its number; gapless. `after` of whoever comes again.
             */
            seq: number;
            /** Format: int64 */
            slot: number;
            /** @description `jobs`, `results`, `disputes`, `validators`, `settlements`, `leases` or `network`. */
            topic: string;
        };
        /** @description The feed's connection to the database. */
        FeedState: {
            /** Format: int64 */
            newest: number;
            state: string;
            subscribers: number;
        };
        /** @description Whether the model calls. */
        FlatChoiceBody: string | components["schemas"]["FlatNamedTool"];
        /** @description `text`, `json_object`, or `json_schema` with its fields beside it. */
        FlatFormat: {
            /** @description With `json_schema`. */
            name?: string | null;
            /** @description JSON schema of an object. It is followed in any case. */
            schema?: {
                [key: string]: unknown;
            } | null;
            /** @description Changes nothing. */
            strict?: boolean | null;
            type: string;
        };
        /** @description The function that is to be called. */
        FlatNamedTool: {
            name: string;
            /** @description `function`. */
            type: string;
        };
        /** @description A function that the model may call. */
        FlatToolBody: {
            /** @description What it is for. */
            description?: string | null;
            /** @description 1 to 64 letters, digits, `_` or `-`. */
            name: string;
            /** @description JSON schema of its arguments, an object's. They follow it in any case. */
            parameters?: {
                [key: string]: unknown;
            } | null;
            /** @description Changes nothing. */
            strict?: boolean | null;
            /** @description `function`. */
            type: string;
        };
        /** @description What a function is. */
        FunctionBody: {
            /** @description What it is for. */
            description?: string | null;
            /** @description 1 to 64 letters, digits, `_` or `-`. */
            name: string;
            /** @description JSON schema of its arguments, an object's. They follow it in any case. */
            parameters?: {
                [key: string]: unknown;
            } | null;
            /** @description Changes nothing. */
            strict?: boolean | null;
        };
        /** @description What a chunk adds to a call's function. */
        FunctionDelta: {
            /** @description More of the JSON. */
            arguments: string;
            /** @description In the first chunk of a call. */
            name?: string | null;
        };
        /** @description How all is. */
        Health: {
            components: components["schemas"]["Components"];
            /**
             * Format: int64
             * @description Slots that the index is behind the chain.
             */
            index_lag_slots?: number | null;
            object: string;
            reconciliation?: null | components["schemas"]["Reconciliation"];
            /** @description `ok`, `degraded` or `down`. */
            status: string;
            /**
             * Format: int64
             * @description Seconds since the gateway started.
             */
            uptime_seconds: number;
            version: string;
        };
        /** @description Why a response is incomplete. */
        IncompleteDetails: {
            /** @description `max_output_tokens`. */
            reason: string;
        };
        /** @description `ok`, `lagging`, `waiting` (`waits_for` says for what), `stale` (the indexer has not committed for minutes, or gave no sign
         *     of life for 30 s) or `down`, and where the index stands. */
        IndexState: components["schemas"]["Part"] & components["schemas"]["IndexStatus"];
        /** @description Where the index stands. */
        IndexStatus: {
            /**
             * Format: int64
             * @description Open alarms.
             * @default null
             */
            alarms: number | null;
            /**
             * Format: int64
             * @description Seconds since the indexer said that it lives.
             * @default null
             */
            beat_seconds: number | null;
            /**
             * @description Last commit of the indexer.
             * @default null
             */
            committed_at: string | null;
            /**
             * Format: int64
             * @default null
             */
            confirmed_slot: number | null;
            /**
             * Format: int64
             * @default null
             */
            dead_letters: number | null;
            /**
             * Format: int64
             * @default null
             */
            feed_oldest: number | null;
            /**
             * Format: int64
             * @default null
             */
            feed_seq: number | null;
            /**
             * Format: int64
             * @default null
             */
            finalized_slot: number | null;
            /**
             * Format: int64
             * @description Ranges of slots that are missing.
             * @default null
             */
            gaps_open: number | null;
            /** @default null */
            genesis_hash: string | null;
            /**
             * Format: int64
             * @default null
             */
            inexact_through: number | null;
            /**
             * Format: int64
             * @default null
             */
            processed_slot: number | null;
            /**
             * Format: int64
             * @default null
             */
            quarantined: number | null;
            /**
             * Format: int64
             * @description Seconds since `committed_at`.
             * @default null
             */
            silent_seconds: number | null;
            /**
             * @description What the indexer waits for: the word that the operator's guide explains, a colon, the message. Null while it works.
             * @default null
             */
            waits_for: string | null;
        };
        /** @description The answer to a single prompt. */
        Inference: {
            /** Format: int64 */
            cost_lamports: number;
            /** @description `stop` or `length`. */
            finish_reason: string;
            job: string;
            model: string;
            object: string;
            output: string;
            /** @description Where the receipt is. */
            receipt: string;
            /** @description A stored answer is shown again. */
            replayed: boolean;
            /** @description The chain did not show the result in time: nobody vouches for the answer yet; `GET /v1/jobs/{id}` tells later. */
            unconfirmed?: boolean;
            usage: components["schemas"]["Usage"];
            validator: string;
        };
        /** @description Body of `POST /v1/inference`. */
        InferenceBody: {
            /**
             * Format: double
             * @description Off the logits for each time that the answer has the token, -2 to 2.
             */
            frequency_penalty?: number | null;
            /** @description From token ids to what is added to their logits, -100 to 100; at most 1,024. */
            logit_bias?: {
                [key: string]: number;
            } | null;
            /**
             * Format: int32
             * @description Most tokens of the answer.
             */
            max_tokens?: number | null;
            /**
             * Format: double
             * @description Only tokens with at least this share of the likeliest one's probability, 0 to 1.
             */
            min_p?: number | null;
            /** @description A model of `GET /v1/models`; the default one without it. */
            model?: string | null;
            mythic?: null | components["schemas"]["Payment"];
            /**
             * Format: double
             * @description Off the logits of tokens that the answer has, -2 to 2.
             */
            presence_penalty?: number | null;
            /** @description What the user says. */
            prompt: string;
            /**
             * Format: double
             * @description Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
             */
            repetition_penalty?: number | null;
            response_format?: null | components["schemas"]["ResponseFormat"];
            /**
             * Format: int64
             * @description Fixes the draw for the job.
             */
            seed?: number | null;
            stop?: null | components["schemas"]["Stop"];
            /**
             * Format: double
             * @description 0 to 2.
             */
            temperature?: number | null;
            /**
             * Format: int32
             * @description Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
             */
            top_k?: number | null;
            /**
             * Format: double
             * @description Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
             */
            top_p?: number | null;
        };
        /** @description Parts of the input. */
        InputTokensDetails: {
            /**
             * Format: int64
             * @description What the validator had read before, by its own word; absent where it said nothing.
             */
            cached_tokens?: number | null;
        };
        /** @description A job. Amounts are lamports; what is not known yet is null. */
        Job: {
            /**
             * Format: int64
             * @description The part of the fee that is burned.
             */
            burned_lamports?: number | null;
            /**
             * Format: int64
             * @description Most that it can cost.
             */
            ceiling_lamports: number;
            /**
             * Format: int64
             * @description Slot in which its account was closed.
             */
            closed_slot?: number | null;
            /** @description Commitment of its newest transition: `processed`, `confirmed` or `finalized`. */
            commitment?: string | null;
            /**
             * Format: int64
             * @description Last slot in which a result is taken.
             */
            deadline_slot?: number | null;
            /** @description Why the job ended: `claimed`, `cancelled`, `declined`, `expired`, `not_guilty`, `void`, `guilty` or `fault`. */
            end_reason?: string | null;
            /** @description Time of `ended_slot`. */
            ended_at?: string | null;
            /**
             * Format: int64
             * @description Slot in which it was settled, refunded or slashed.
             */
            ended_slot?: number | null;
            /** @description False where a gap in the index may hide changes. */
            exact?: boolean | null;
            /**
             * Format: int64
             * @description What it cost.
             */
            fee_lamports?: number | null;
            /** @description 64 hex digits. */
            fingerprint?: string | null;
            /** @description Why the answer ended: `eos`, `length`, `stopped` or `cancelled`. */
            finish_reason?: string | null;
            /**
             * Format: int64
             * @description The foundation's part of the fee.
             */
            foundation_lamports?: number | null;
            /** @description Address of its account, base58. */
            id: string;
            /**
             * Format: int64
             * @description Most tokens of the answer.
             */
            max_output_tokens: number;
            /** @description Id of the model if this gateway serves it, else its address. */
            model: string;
            /** @description Address of the model, base58. */
            model_address?: string;
            /** @description `job`. */
            object?: string;
            /**
             * Format: int64
             * @description Cases about its result that are not resolved: at most one.
             */
            open_disputes?: number | null;
            /** @description 64 hex digits. */
            output_root?: string | null;
            /**
             * Format: int64
             * @description Tokens of the answer.
             */
            output_tokens?: number | null;
            /** @description The wallet that pays, base58. */
            owner: string;
            /**
             * Format: int64
             * @description Lamports per 1,000 prompt tokens.
             */
            price_in: number;
            /**
             * Format: int64
             * @description Lamports per 1,000 output tokens.
             */
            price_out: number;
            /** @description 64 hex digits. */
            prompt_hash: string;
            /**
             * Format: int64
             * @description Tokens of the prompt.
             */
            prompt_tokens: number;
            /**
             * Format: int64
             * @description What went back to the owner.
             */
            refunded_lamports?: number | null;
            /** @description Time of `requested_slot`. */
            requested_at?: string | null;
            /**
             * Format: int64
             * @description Slot of the request.
             */
            requested_slot?: number | null;
            /** @description Who signed the request: the owner or a delegate, base58. */
            requester: string;
            /**
             * Format: int64
             * @description How its tokens are chosen: 1 `seeded-top4`, which anybody replays from the evidence; 2 `seeded-full`, which only those can
             *     compute again who run the model.
             */
            sampling_profile: number;
            /** @description 64 hex digits. */
            seed?: string | null;
            /**
             * Format: int64
             * @description Stake that the validator lost.
             */
            slashed_lamports?: number | null;
            /** @description `open`, `accepted`, `submitted`, `disputed`, `settled`, `refunded` or `slashed`; before the index shows it `pending`,
             *     `unconfirmed` (sent, and not seen on chain in time) or `unpaid` (it can't come on chain any more). */
            status: string;
            /**
             * Format: int64
             * @description Slot of the result.
             */
            submitted_slot?: number | null;
            /**
             * Format: int64
             * @description Temperature in thousandths.
             */
            temperature_milli: number;
            /** @description 64 hex digits. */
            terms_hash?: string | null;
            /** @description What happened to it, in order. */
            transitions?: components["schemas"]["Transition"][] | null;
            /** @description Authority of the validator that accepted it, base58. */
            validator?: string | null;
            /**
             * Format: int64
             * @description The validator's part of the fee.
             */
            validator_lamports?: number | null;
            /**
             * Format: int64
             * @description Slot from which nobody opens a case about the result.
             */
            window_end_slot?: number | null;
        };
        /** @description The case about a job's result. */
        JobCase: {
            /** Format: int64 */
            bonds_lamports: number;
            /** @description Who got the reward, else who opened it or proved the fault, base58. */
            challenger?: string | null;
            /** Format: int64 */
            claims: number;
            /** Format: int64 */
            commit_end_slot?: number | null;
            /** Format: int64 */
            commit_from_slot?: number | null;
            /** Format: int64 */
            due_slot?: number | null;
            /** @description `jury`, `unanswered`, `no_claim`, `fault`, `no_quorum` or `too_few_judges`. */
            ground?: string | null;
            /** @description Address, base58; `GET /v1/cases/{id}` shows all of it. */
            id: string;
            /** Format: int64 */
            joining_end_slot?: number | null;
            /** Format: int64 */
            leaves_due_slot?: number | null;
            /** Format: int64 */
            opened_slot: number;
            /** Format: int64 */
            resolved_slot?: number | null;
            /** Format: int64 */
            reveal_end_slot?: number | null;
            /** Format: int64 */
            slashed_lamports?: number | null;
            /** @description `opening`, `joining`, `jury` or `resolved`. */
            status: string;
            /** @description `guilty`, `not_guilty`, `void` or `fault`. */
            verdict?: string | null;
        };
        /** @description A job with the case about its result; to the key that paid also what was answered. */
        JobDetails: components["schemas"]["Job"] & {
            dispute?: null | components["schemas"]["JobCase"];
            /** @description The answer's text, for the key that paid, for 24 hours. */
            output?: string | null;
        };
        /** @description `PUT /v1/jobs/:id/result`: what the node committed to on chain, signed by the operator. */
        JobResult: {
            /** @description The evidence bundle. */
            evidence: components["schemas"]["Evidence"];
            /** @description Hex, 32 bytes. */
            fingerprint: string;
            /** @description Why the output ended. */
            finish_reason: string;
            /** @description Base58 address. */
            job: string;
            /** @description All output ids. */
            output_ids: number[];
            /** @description Hex, 32 bytes. */
            output_root: string;
            /** @description Output text. */
            output_text: string;
            /** @description Base58 signature of the SubmitResult, if known. */
            submit_signature?: string | null;
        };
        /** @description How many could judge a result that is requested now. */
        Judges: {
            /** @description Whether these are enough. Where they are not, every jury ends void. */
            enough: boolean;
            /** @description Validators that have been registered and served the model long enough, with the stake that a seat needs. */
            mature: number;
            /** @description The fewest with which a jury can decide: those who must agree, and both sides. */
            needed: number;
        };
        /** @description A seat of a jury. */
        JurorRow: {
            /** @description By digest, the seats that revealed the same; null until it reveals. */
            agrees?: number[][] | null;
            collected: boolean;
            /** Format: int64 */
            committed_slot: number;
            /** @description The digests that it revealed, hex: of its work, of the sample, of claims' positions. Exact profiles only. */
            digests?: string[] | null;
            /** @description Whether it finds the sample as submitted; null until it reveals. */
            finds_sample_true?: boolean | null;
            /** @description Digests that it finds as submitted, by their places: 1 the sample, 2 and on those of claims; null until it reveals. */
            finds_true?: number[] | null;
            /** @description Authority, base58. */
            juror: string;
            /** @description `paid`, `penalised` or `unpaid`; null until the case is resolved. */
            outcome?: string | null;
            /** Format: int64 */
            penalty_lamports?: number | null;
            /** Format: int64 */
            revealed_slot?: number | null;
            /** Format: int64 */
            reward_lamports?: number | null;
            /** Format: int64 */
            seat: number;
        };
        /** @description A lease of capacity, from its acceptance to its last lamport. What is deposited and compensated is in escrow, pending, paid, the
         *     foundation's, burned or refunded; amounts are lamports. */
        Lease: {
            accepted_at?: string | null;
            /** Format: int64 */
            accepted_slot: number;
            /** @description Hash of what the tenant needs to reach it, 64 hex digits; null before the start. */
            access_hash?: string | null;
            /**
             * Format: int64
             * @description Slot from which its start has not been acknowledged in time.
             */
            ack_end_slot?: number | null;
            acknowledged_at?: string | null;
            /** Format: int64 */
            acknowledged_slot?: number | null;
            /**
             * Format: int64
             * @description Without a name: always 0.
             */
            astray_lamports: number;
            /** Format: int64 */
            burned_lamports: number;
            /** @description Address of its class, base58. */
            class: string;
            class_name?: string | null;
            /**
             * Format: int64
             * @description Slot in which its account was closed.
             */
            closed_slot?: number | null;
            /** @description Commitment of its newest change. */
            commitment: string;
            /**
             * Format: int64
             * @description Of the provider's stake, for the tenant.
             */
            compensated_lamports: number;
            /** Format: int64 */
            deposited_lamports: number;
            /** Format: int64 */
            disputes: number;
            ended_at?: string | null;
            /** Format: int64 */
            ended_slot?: number | null;
            /** @description From here on nothing is metered. */
            ends_at?: string | null;
            /**
             * Format: int64
             * @description Epoch of `slot`.
             */
            epoch?: number | null;
            /** Format: int64 */
            epoch_seconds: number;
            /** Format: int64 */
            epoch_slots: number;
            /** Format: int64 */
            epochs_missed: number;
            /**
             * Format: int64
             * @description Epochs with a proof, also of those that the index has not seen; null where nothing says whether its time was over at its end.
             */
            epochs_proved?: number | null;
            /**
             * Format: int64
             * @description Lie in the lease for seconds to come.
             */
            escrow_lamports: number;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /** Format: int64 */
            foundation_lamports: number;
            /**
             * Format: int64
             * @description All that lies in the lease: escrow, pending, the tenant's; 0 once its account is closed.
             */
            held_lamports: number;
            /** @description Address of its account, base58. */
            id: string;
            /** @description `endpoint` or `container`; null if the index does not know its request. */
            kind?: string | null;
            /**
             * Format: int64
             * @description Epoch of the last proof, of the start before there is one.
             */
            last_proved_epoch?: number | null;
            /**
             * Format: int64
             * @description Side of the matrices that each unit multiplies.
             */
            matrix_side: number;
            /** @description Up to here its seconds are metered. */
            metered_at?: string | null;
            /** @description Of an endpoint the id of its model if this gateway serves it, else its address. */
            model?: string | null;
            /** @description Address of the model, base58. */
            model_address?: string | null;
            next?: null | components["schemas"]["NextPhase"];
            /**
             * Format: int64
             * @description Epoch in which the provider gave notice.
             */
            notice_epoch?: number | null;
            /** @description `lease`. */
            object?: string;
            /** Format: int64 */
            open_disputes: number;
            /**
             * Format: int64
             * @description Went to the provider.
             */
            paid_lamports: number;
            /**
             * Format: int64
             * @description Lie in the lease for epochs that can be disputed.
             */
            pending_lamports: number;
            /**
             * Format: int64
             * @description Lamports a second for each unit.
             */
            price_lamports: number;
            /**
             * Format: int64
             * @description Slots from the beginning of an epoch in which its proof is taken.
             */
            proof_slots: number;
            /** @description Authority of its provider, base58. */
            provider: string;
            /** @description Why it ended: `completed`, `closed_by_tenant`, `closed_by_provider`, `never_started`, `never_acknowledged`, `missed_proofs` or
             *     `proof_refuted`; null while it runs. */
            reason?: string | null;
            /**
             * Format: int64
             * @description The tenant's again, those included that still lie in the lease.
             */
            refunded_lamports: number;
            /**
             * Format: int64
             * @description Slot in which a proof of it was refuted.
             */
            refuted_slot?: number | null;
            /** @description Address of its request, base58. */
            request: string;
            /**
             * Format: int64
             * @description Products that each unit computes in each epoch.
             */
            rounds: number;
            rules: components["schemas"]["LeaseRules"];
            /**
             * Format: int64
             * @description Seconds that were paid for at the request.
             */
            seconds: number;
            /**
             * Format: int64
             * @description Stake that the provider lost for it.
             */
            slashed_lamports: number;
            /**
             * Format: int64
             * @description Newest slot of the index.
             */
            slot?: number | null;
            /** Format: int64 */
            stake_per_unit_lamports: number;
            /**
             * Format: int64
             * @description Slot from which it has not been started in time.
             */
            start_end_slot: number;
            started_at?: string | null;
            /** Format: int64 */
            started_slot?: number | null;
            /** @description `accepted`, `started`, `active`, `closing` or `ended`. */
            status: string;
            /** @description Who uses it and gets refunds, base58. */
            tenant: string;
            /**
             * Format: int64
             * @description Lie in the lease for the tenant.
             */
            tenant_due_lamports: number;
            /** @description 64 hex digits. */
            terms_hash: string;
            /** Format: int64 */
            units: number;
            updated_at?: string | null;
        };
        /** @description A lease with what happened to it. */
        LeaseDetails: components["schemas"]["Lease"] & {
            /** @description Its newest epochs, at most 32, the newest first; all are under `/epochs`. */
            epochs: components["schemas"]["LeaseEpoch"][];
            /** @description What happened, proofs apart: the newest hundred, the oldest of them first. */
            events: components["schemas"]["LeaseEvent"][];
        };
        /** @description A dispute that says that the proof of an epoch is false. Amounts are lamports; what is not known yet is null. */
        LeaseDispute: {
            /**
             * Format: int64
             * @description Burned if everything that is named is right.
             */
            at_stake_lamports: number;
            /**
             * Format: int64
             * @description What it paid in: for the answer and at stake.
             */
            bond_lamports: number;
            /**
             * Format: int64
             * @description Of the bond.
             */
            burned_lamports?: number | null;
            /** Format: int64 */
            closed_slot?: number | null;
            /** @description Commitment of its newest change. */
            commitment: string;
            /** @description Who says so, base58. */
            disputer: string;
            elements: components["schemas"]["LeaseElement"][];
            /** Format: int64 */
            epoch: number;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /**
             * Format: int64
             * @description For the answer.
             */
            fee_lamports: number;
            /** @description Hash of the epoch's first slot, 64 hex digits. */
            hash: string;
            /**
             * Format: int64
             * @description Lies in its account.
             */
            held_lamports: number;
            /** @description Address of its account, base58. */
            id: string;
            /** @description Address of the lease, base58. */
            lease: string;
            /**
             * Format: int64
             * @description How many elements it names.
             */
            named_elements: number;
            /**
             * Format: int64
             * @description Which dispute about the lease it is, from 0: they are decided in this order.
             */
            number: number;
            /** @description `lease_dispute`. */
            object?: string;
            opened_at?: string | null;
            /**
             * Format: int64
             * @description How many of them were shown and are right.
             */
            opened_elements: number;
            /** Format: int64 */
            opened_slot: number;
            /**
             * Format: int64
             * @description Slot from which nothing can be opened.
             */
            openings_end_slot: number;
            /** @description `answered`, `wrong`, `unanswered` or `void`. */
            outcome?: string | null;
            /**
             * Format: int64
             * @description Of the bond, the provider's for its answer.
             */
            paid_lamports?: number | null;
            /** @description 64 hex digits. */
            proof: string;
            /** @description Authority of the provider, base58. */
            provider: string;
            resolved_at?: string | null;
            /** Format: int64 */
            resolved_slot?: number | null;
            /**
             * Format: int64
             * @description Slot from which its account can be closed, which pays its disputer.
             */
            retention_end_slot?: number | null;
            /**
             * Format: int64
             * @description Of the bond, the disputer's again.
             */
            returned_lamports?: number | null;
            /**
             * Format: int64
             * @description Of the stake, the disputer's.
             */
            reward_lamports?: number | null;
            /**
             * Format: int64
             * @description Stake that the provider lost.
             */
            slashed_lamports?: number | null;
            /** @description `open`, `wrong` (an element was shown and is wrong) or `resolved`. */
            status: string;
        };
        /** @description An element of a product that a dispute names. */
        LeaseElement: {
            /** Format: int64 */
            column: number;
            /** @description It was shown and is right. */
            opened: boolean;
            /** Format: int64 */
            round: number;
            /** Format: int64 */
            row: number;
            /** Format: int64 */
            unit: number;
        };
        /** @description An epoch of a lease: its proof, or the seconds behind the last one. Shares are null while it is pending. */
        LeaseEpoch: {
            /**
             * Format: int64
             * @description Lamports of them.
             */
            amount_lamports: number;
            /** Format: int64 */
            burned_lamports?: number | null;
            /** @description Commitment of its newest change. */
            commitment: string;
            /**
             * Format: int64
             * @description Slot from which it can't be disputed any more.
             */
            dispute_end_slot: number;
            /** Format: int64 */
            epoch: number;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /** Format: int64 */
            foundation_lamports?: number | null;
            /** @description Hash of the epoch's first slot, 64 hex digits. */
            hash?: string | null;
            /** @description False once its place in the account was needed for another epoch. */
            in_ring: boolean;
            metered_at?: string | null;
            /** Format: int64 */
            metered_slot: number;
            /** Format: int64 */
            open_disputes: number;
            /** @description 64 hex digits. */
            proof?: string | null;
            /** @description False for the seconds behind the last proof. */
            proved: boolean;
            /** Format: int64 */
            provider_lamports?: number | null;
            /** Format: int64 */
            refunded_lamports?: number | null;
            /**
             * Format: int64
             * @description Seconds that were metered.
             */
            seconds: number;
            /** @description `pending`, `released`, `unserved`, `refuted` or `forfeited`. */
            status: string;
        };
        /** @description Something that happened to a lease or its request. */
        LeaseEvent: {
            at?: string | null;
            commitment?: string | null;
            /** @description Why it ended, or how a dispute was decided. */
            detail?: string | null;
            /**
             * Format: int64
             * @description Of a dispute: the epoch that it is about.
             */
            epoch?: number | null;
            /** @description `requested`, `accepted`, `started`, `acknowledged`, `disputed`, `resolved`, `refuted` or `ended`. */
            event: string;
            /** @description Transaction that first showed it, base58. */
            signature?: string | null;
            /** Format: int64 */
            slot: number;
        };
        /** @description What a tenant asks for, and what it paid in for it. Amounts are lamports. */
        LeaseRequest: {
            /** @description Address of the class, base58. */
            class: string;
            class_name?: string | null;
            /** Format: int64 */
            closed_slot?: number | null;
            /** @description Commitment of its newest change. */
            commitment: string;
            /**
             * Format: int64
             * @description Slot from which nobody can accept it.
             */
            deadline_slot: number;
            /**
             * Format: int64
             * @description The price of all seconds.
             */
            deposited_lamports: number;
            ended_at?: string | null;
            /** Format: int64 */
            ended_slot?: number | null;
            /** Format: int64 */
            epoch_seconds: number;
            /** Format: int64 */
            epoch_slots: number;
            /**
             * Format: int64
             * @description Lies in its account; of one that is closed what went out with it, to who paid its rent.
             */
            escrow_lamports: number;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /** @description Address of its account, base58. */
            id: string;
            /** @description The least that is asked for: `process`, `container` or `sandbox`. */
            isolation?: string | null;
            /** @description `endpoint` or `container`. */
            kind?: string | null;
            /** @description Address of its lease, base58. */
            lease?: string | null;
            /** @description Of an endpoint the id of its model if this gateway serves it, else its address. */
            model?: string | null;
            /** @description Address of the model, base58. */
            model_address?: string | null;
            /** @description 32 hex digits. */
            nonce: string;
            /** @description `lease_request`. */
            object?: string;
            /**
             * Format: int64
             * @description Most lamports a second for each unit.
             */
            price_lamports: number;
            /** @description Authority of the provider that may accept it, base58; null: any. */
            provider?: string | null;
            /**
             * Format: int64
             * @description Went back to the tenant without a lease.
             */
            refunded_lamports: number;
            /** @description Where the provider must be; empty: anywhere. */
            region: string;
            requested_at?: string | null;
            /** Format: int64 */
            requested_slot: number;
            rules: components["schemas"]["LeaseRules"];
            /** Format: int64 */
            seconds: number;
            /** @description 64 hex digits. */
            spec_hash: string;
            /** @description URL at which the spec is found, as the tenant says. */
            spec_source: string;
            /** @description `open`, `accepted`, `cancelled` or `expired`. */
            status?: string | null;
            /** @description Who asks and gets refunds, base58. */
            tenant: string;
            /** @description 64 hex digits. */
            terms_hash: string;
            /** Format: int64 */
            units: number;
        };
        /** @description The market's rules, as a request or a lease keeps them. */
        LeaseRules: {
            /** Format: int64 */
            ack_slots: number;
            /** Format: int64 */
            answering_fee_lamports: number;
            /** Format: int64 */
            close_delay_slots: number;
            /** Format: int64 */
            dispute_slots: number;
            /**
             * Format: int64
             * @description The foundation's share, basis points; the rest is burned.
             */
            foundation_bps: number;
            /** Format: int64 */
            jail_slots: number;
            /** Format: int64 */
            max_lease_seconds: number;
            /**
             * Format: int64
             * @description Epochs in a row without a proof after which anyone ends it.
             */
            max_missed_epochs: number;
            /** Format: int64 */
            min_epoch_price_lamports: number;
            /** Format: int64 */
            min_stake_lamports: number;
            /** Format: int64 */
            no_show_lamports: number;
            /**
             * Format: int64
             * @description Epochs of a provider's notice.
             */
            notice_epochs: number;
            /** Format: int64 */
            openings_slots: number;
            /**
             * Format: int64
             * @description The provider's share, basis points.
             */
            provider_bps: number;
            /** Format: int64 */
            start_slots: number;
        };
        /** @description What a validator's node says of itself, every 10 seconds. */
        Live: {
            /** @description It takes no new jobs. */
            draining: boolean;
            /**
             * Format: int32
             * @description Jobs it runs at once.
             */
            max_concurrent: number;
            /**
             * Format: int32
             * @description Jobs that wait for a place.
             */
            queued: number;
            /**
             * Format: int64
             * @description Output tokens that running and waiting jobs may still need.
             */
            queued_tokens: number;
            /**
             * Format: int32
             * @description Jobs that generate now.
             */
            running: number;
            /**
             * Format: double
             * @description Of one job; null before the first.
             */
            tokens_per_second?: number | null;
            version: string;
        };
        /** @description Log-probabilities of an answer's tokens. */
        Logprobs: {
            /** @description One for each token of the text. */
            content: components["schemas"]["TokenLogprob"][];
            /** @description Always null. */
            refusal?: string | null;
        };
        /** @description The Compute Market at a glance; sums are over all its leases, since the first slot. What is not known is null. */
        Market: {
            /**
             * Format: int64
             * @description Without a name: always 0.
             */
            astray_lamports: number;
            /** Format: int64 */
            burned_lamports: number;
            /** Format: int64 */
            compensated_lamports: number;
            /** Format: int64 */
            deposited_lamports: number;
            /** Format: int64 */
            disputes: number;
            /** Format: int64 */
            epoch_seconds?: number | null;
            /** Format: int64 */
            epoch_slots?: number | null;
            /** Format: int64 */
            epochs_missed: number;
            /**
             * Format: int64
             * @description Epochs with a proof, also of those that the index has not seen.
             */
            epochs_proved: number;
            /** Format: int64 */
            escrow_lamports: number;
            /**
             * Format: int64
             * @description Newest finalized slot.
             */
            finalized_slot?: number | null;
            /** Format: int64 */
            foundation_lamports: number;
            /** Format: int64 */
            leased_units: number;
            /** Format: int64 */
            leases: number;
            /** @description `market`. */
            object?: string;
            /** Format: int64 */
            offered_units: number;
            /** Format: int64 */
            open_disputes: number;
            /** Format: int64 */
            open_requests: number;
            /** Format: int64 */
            paid_lamports: number;
            /** @description Null where the network has no market. */
            paused?: boolean | null;
            /** Format: int64 */
            pending_lamports: number;
            /** Format: int64 */
            refunded_lamports: number;
            /** Format: int64 */
            registered_providers: number;
            /** Format: int64 */
            running_leases: number;
            /** Format: int64 */
            slashed_lamports: number;
            /**
             * Format: int64
             * @description Newest slot of the index; null before the first.
             */
            slot?: number | null;
            /** Format: int64 */
            staked_lamports: number;
            /**
             * Format: int64
             * @description The foundation's, in the market's treasury.
             */
            treasury_lamports?: number | null;
        };
        /** @description A model in OpenAI's shape, with price, context and validators. What the chain does not say now is null. */
        Model: {
            /** @description Address of its account, base58. */
            address: string;
            /**
             * Format: int32
             * @description Tokens of prompt and answer together.
             */
            context_length?: number | null;
            /**
             * Format: int64
             * @description When it was registered, Unix seconds.
             */
            created?: number | null;
            /** @description Name and first 8 hex digits of the identity, `name@01234567`. */
            id: string;
            /** @description 64 hex digits. */
            identity: string;
            /** @description Requests that name no model are for it. */
            is_default: boolean;
            /** @description Its results are compared to the bit, so that options, functions and formats can be asked for. */
            is_exact?: boolean | null;
            judges?: null | components["schemas"]["Judges"];
            /** @description Arithmetic of its logits. */
            kernel_profile?: string | null;
            /**
             * Format: int32
             * @description Most tokens of a job.
             */
            max_job_tokens?: number | null;
            name: string;
            /** @description `model`. */
            object: string;
            /** @description Who registered it, base58. */
            owned_by?: string | null;
            /** Format: int32 */
            price_in_lamports_per_1k?: number | null;
            /** Format: int32 */
            price_out_lamports_per_1k?: number | null;
            /** @description `active` or `retired`. */
            status?: string | null;
            /** @description Registered validators that serve it; null while the chain is away. */
            validators?: number | null;
        };
        /** @description The prices of a model from a finalized block on. */
        ModelPrice: {
            /** @description Time of the block. */
            at?: string | null;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /** Format: int64 */
            price_in_lamports_per_1k: number;
            /** Format: int64 */
            price_out_lamports_per_1k: number;
            /** @description Nobody can request it any more. */
            retired: boolean;
            /**
             * Format: int64
             * @description Slot of the block that wrote the model.
             */
            slot: number;
        };
        /** @description A response, whole. */
        ModelResponse: components["schemas"]["Repeated"] & {
            /** @description Always false. */
            background: boolean;
            /**
             * Format: int64
             * @description Unix seconds.
             */
            created_at: number;
            /** @description Always null: what fails is an error. */
            error?: string | null;
            /** @description `resp_` and the job. */
            id: string;
            incomplete_details?: null | components["schemas"]["IncompleteDetails"];
            /** @description The model's id. */
            model: string;
            mythic?: null | components["schemas"]["Mythic"];
            /** @description `response`. */
            object: string;
            /** @description A message, functions to call, or both. */
            output: components["schemas"]["OutputItem"][];
            /** @description Always null. */
            previous_response_id?: string | null;
            /** @description `default`. */
            service_tier: string;
            /** @description `completed`, or `incomplete`; in events before the last `in_progress`. */
            status: string;
            /** @description Always false: nothing is kept to be asked for by its id. */
            store: boolean;
            /** @description What answered: the model's identity and how tokens are chosen. */
            system_fingerprint: string;
            /** @description `disabled`. */
            truncation: string;
            usage?: null | components["schemas"]["ResponseUsage"];
        };
        /** @description Jobs and price of an answer. */
        Mythic: {
            /**
             * Format: int64
             * @description Of all choices. Each choice is a job and pays the prompt anew.
             */
            cost_lamports: number;
            /** @description The first choice's job. */
            job?: string | null;
            /** @description All jobs, where there are several. */
            jobs?: components["schemas"]["MythicJob"][];
            /** @description Where the first job's receipt is. */
            receipt?: string | null;
            /** @description A stored answer is shown again. */
            replayed?: boolean;
            /** @description The chain did not show the result of every job in time: nobody vouches for the answer yet. */
            unconfirmed?: boolean;
            /** @description Who answered it. */
            validator?: string | null;
        };
        /** @description One job of several. */
        MythicJob: {
            /**
             * Format: int64
             * @description What it costs.
             */
            cost_lamports: number;
            job: string;
            /** @description Where its receipt is. */
            receipt: string;
            /** @description The chain did not show the result in time: nobody vouches for the answer yet; its job tells later. */
            unconfirmed?: boolean;
            /** @description Who answered it. */
            validator: string;
        };
        /** @description The name of a function. */
        NamedFunction: {
            name: string;
        };
        /** @description A schema with its name. */
        NamedSchema: {
            name: string;
            /** @description JSON schema of an object. It is followed in any case. */
            schema: {
                [key: string]: unknown;
            };
            /** @description Changes nothing. */
            strict?: boolean | null;
        };
        /** @description The function that is to be called. */
        NamedTool: {
            function: components["schemas"]["NamedFunction"];
            /** @description `function`. */
            type: string;
        };
        /** @description The network at a glance. What is not known is null. */
        Network: components["schemas"]["NetworkSums"] & {
            /** @description Validators that are active on chain and announce themselves here; null while the chain is away. */
            active_validators?: number | null;
            /**
             * Format: double
             * @description Output tokens a second that validators say they made together in recent work; null if none does.
             */
            capacity_tokens_per_second?: number | null;
            /** @description `network`. */
            object: string;
        };
        /** @description The network's figures; sums are since the first slot. */
        NetworkSums: {
            /**
             * Format: int64
             * @description Destined to be burned: parts of fees, registrations, cases.
             */
            burned_lamports: number;
            /** Format: int64 */
            disputes: number;
            /**
             * Format: int64
             * @description Disputes that are not resolved.
             */
            disputes_open: number;
            /** Format: int64 */
            fee_lamports: number;
            /**
             * Format: int64
             * @description Newest finalized slot.
             */
            finalized_slot?: number | null;
            /**
             * Format: int64
             * @description Validators that name a GPU.
             */
            gpus: number;
            /**
             * Format: int64
             * @description Jobs requested.
             */
            jobs: number;
            /** Format: int64 */
            jobs_refunded: number;
            /** Format: int64 */
            jobs_settled: number;
            /** Format: int64 */
            jobs_slashed: number;
            /** Format: int64 */
            output_tokens: number;
            /** Format: int64 */
            prompt_tokens: number;
            /** Format: int64 */
            registered_validators: number;
            /** Format: int64 */
            slashed_lamports: number;
            /**
             * Format: int64
             * @description Newest slot of the index; null before the first.
             */
            slot?: number | null;
            /** Format: int64 */
            staked_lamports: number;
        };
        /** @description What comes next of a case or a lease if nobody does anything. */
        NextPhase: {
            /** @description Of a case `leaves_due`, `joining_end`, `commit_from`, `commit_end` or `reveal_end`; of a lease `start_end`, `ack_end`, `proof_end`
             *     or `notice_end`. */
            event: string;
            /**
             * Format: int64
             * @description At the pace of the last slots; null where that is not known.
             */
            seconds_left?: number | null;
            /** Format: int64 */
            slot: number;
            /** Format: int64 */
            slots_left: number;
        };
        /** @description A model that a node serves. */
        OfferedModel: {
            /**
             * Format: int32
             * @description Longest prompt plus output, in tokens.
             */
            context_length: number;
            /** @description Hex identity, 32 bytes. */
            identity: string;
            /**
             * Format: int32
             * @description Least price the node accepts per 1,000 input tokens, in lamports.
             */
            min_price_in: number;
            /**
             * Format: int32
             * @description Least price the node accepts per 1,000 output tokens, in lamports.
             */
            min_price_out: number;
        };
        /** @description A position that a case checks. */
        OpeningRow: {
            /** @description `sample`, `claim`, or `fault`: the leaf of a proven one. */
            asked_by: string;
            /**
             * Format: int64
             * @description Number of the claim that names it.
             */
            claim_place?: number | null;
            /** @description The four likeliest ids, likeliest first; null until shown. */
            ids?: number[] | null;
            /** @description Their logits in Q16.16; null until shown. */
            logits?: number[] | null;
            /**
             * Format: int64
             * @description In the output, from 0.
             */
            position: number;
            /** @description It was shown. */
            shown: boolean;
            /**
             * Format: int64
             * @description Id of its token; null until it is shown.
             */
            token?: number | null;
        };
        /** @description A function that the client is to call. */
        OutputCall: {
            /** @description JSON, of the schema that the request gave; cut off where the answer was. */
            arguments: string;
            /** @description What the item with its result names as `call_id`. */
            call_id: string;
            id: string;
            name: string;
            /** @description `completed`, `incomplete` or, in events, `in_progress`. */
            status: string;
            /** @description `function_call`. */
            type: string;
        };
        /** @description A part of a response. */
        OutputItem: components["schemas"]["OutputMessage"] | components["schemas"]["OutputCall"];
        /** @description What the model says. */
        OutputMessage: {
            /** @description One text. */
            content: components["schemas"]["OutputText"][];
            /** @description `msg_` and the job. */
            id: string;
            /** @description `assistant`. */
            role: string;
            /** @description `completed`, `incomplete` or, in events, `in_progress`. */
            status: string;
            /** @description `message`. */
            type: string;
        };
        /** @description A page of token ids posted in a case. */
        OutputRow: {
            /**
             * Format: int64
             * @description Chunks of 128 token ids posted.
             */
            chunks_posted: number;
            /** Format: int64 */
            closed_slot?: number | null;
            /** Format: int64 */
            completed_slot?: number | null;
            /** @description Address of its account, base58. */
            id: string;
            /**
             * Format: int64
             * @description From 0.
             */
            page: number;
            /** Format: int64 */
            token_count: number;
        };
        /** @description Text of a message. */
        OutputText: {
            /** @description Always empty. */
            annotations: string[];
            /** @description Of the text's tokens; empty unless asked for, and where they are not known. */
            logprobs: components["schemas"]["TokenLogprob"][];
            text: string;
            /** @description `output_text`. */
            type: string;
        };
        /** @description Parts of the output. */
        OutputTokensDetails: {
            /** Format: int64 */
            reasoning_tokens: number;
        };
        /** @description A page of a list. */
        Page_BurnedDay: {
            data: {
                /**
                 * Format: int64
                 * @description All of it.
                 */
                burned_lamports: number;
                /** @description `after` of the next page. */
                cursor: string;
                /** @description `YYYY-MM-DD`. */
                day: string;
                /**
                 * Format: int64
                 * @description What cases burned, with what their jurors lost.
                 */
                dispute_lamports: number;
                /**
                 * Format: int64
                 * @description Parts of the fees of jobs.
                 */
                fee_lamports: number;
                /**
                 * Format: int64
                 * @description Lost bonds of disputes about leases.
                 */
                lease_dispute_lamports: number;
                /**
                 * Format: int64
                 * @description Shares of paid epochs, forfeited epochs, slashed stake that is nobody's.
                 */
                lease_lamports: number;
                /**
                 * Format: int64
                 * @description What tenants paid to call epochs unserved.
                 */
                lease_unserved_lamports: number;
                /**
                 * Format: int64
                 * @description Registrations of models.
                 */
                registration_lamports: number;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_BurnRow: {
            data: {
                /** @description The job, model, case, lease or dispute about a lease, base58. */
                account: string;
                at?: string | null;
                /** @description `after` of the next page. */
                cursor: string;
                /** @description `fee`, `registration` or `dispute`; of the Compute Market `lease`, `lease_dispute` or `lease_unserved`. */
                kind: string;
                /** Format: int64 */
                lamports: number;
                /** Format: int64 */
                slot: number;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_Case: {
            data: {
                /**
                 * Format: int64
                 * @description What all claimants paid in.
                 */
                bonds_lamports: number;
                /** Format: int64 */
                burned_lamports?: number | null;
                /** @description Who got the reward, else who opened it or proved the fault, base58. */
                challenger?: string | null;
                /**
                 * Format: int64
                 * @description What all claimants got, bonds that returned among it.
                 */
                claimants_lamports?: number | null;
                /**
                 * Format: int64
                 * @description How many claims there are.
                 */
                claims: number;
                /** Format: int64 */
                closed_slot?: number | null;
                /** @description Resolved, and everybody has what is due. */
                collected: boolean;
                /** Format: int64 */
                commit_end_slot?: number | null;
                /** Format: int64 */
                commit_from_slot?: number | null;
                /** @description Commitment of its newest change. */
                commitment: string;
                /** Format: int64 */
                committed_seats: number;
                /**
                 * Format: int64
                 * @description Stake of all who committed to the jury: the most that it can take.
                 */
                committed_stake_lamports: number;
                /** Format: int64 */
                due_slot?: number | null;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** @description Whether the model's arithmetic is the same on every machine. */
                exact_profile: boolean;
                /**
                 * Format: int64
                 * @description Those of them that say `false`.
                 */
                false_claims: number;
                /** @description The result's, 64 hex digits. */
                fingerprint: string;
                /** @description `jury`, `unanswered`, `no_claim`, `fault`, `no_quorum` or `too_few_judges`. */
                ground?: string | null;
                /** @description Address of its account, base58. */
                id: string;
                /** @description Address of the job, base58. */
                job: string;
                /** @description Status of the job. */
                job_status?: string | null;
                /** Format: int64 */
                joining_end_slot?: number | null;
                /** Format: int64 */
                jurors_lamports?: number | null;
                /** Format: int64 */
                jury_seats: number;
                /** Format: int64 */
                leaves_due_slot?: number | null;
                /** Format: int64 */
                leaves_slot?: number | null;
                /** @description Id of the model if this gateway serves it, else its address. */
                model?: string | null;
                /** @description Address of the model, base58. */
                model_address?: string;
                /**
                 * Format: int64
                 * @description Positions that claims name.
                 */
                named_positions: number;
                next?: null | components["schemas"]["NextPhase"];
                /** @description `case`. */
                object?: string;
                opened_at?: string | null;
                /**
                 * Format: int64
                 * @description Positions that were shown.
                 */
                opened_positions: number;
                /** Format: int64 */
                opened_slot: number;
                /**
                 * Format: int64
                 * @description Chunks of 128 token ids posted.
                 */
                output_chunks_posted?: number | null;
                /** Format: int64 */
                output_tokens?: number | null;
                /**
                 * Format: int64
                 * @description What jurors lost.
                 */
                penalties_lamports?: number | null;
                /** @description Where it stands at `slot`: `opening` (output and positions are awaited), `joining` (others may join), `showing` (what
                 *     those named is awaited), `draw`, `commit`, `reveal`, `due` (anyone may end it), `resolved` or `closed`. */
                phase?: string | null;
                /** @description Who proved a fault, base58. */
                prover?: string | null;
                /** Format: int64 */
                prover_lamports?: number | null;
                resolved_at?: string | null;
                /** Format: int64 */
                resolved_slot?: number | null;
                /** Format: int64 */
                reveal_end_slot?: number | null;
                /** Format: int64 */
                revealed_seats: number;
                /**
                 * Format: int64
                 * @description The part of the slash that a claimant or prover got.
                 */
                reward_lamports?: number | null;
                /**
                 * Format: int64
                 * @description Positions that were drawn.
                 */
                sampled_positions: number;
                /**
                 * Format: int64
                 * @description Slot in which output, sample and the opener's positions were shown.
                 */
                shown_slot?: number | null;
                /** Format: int64 */
                slashed_lamports?: number | null;
                /**
                 * Format: int64
                 * @description Newest slot of the index.
                 */
                slot?: number | null;
                /**
                 * Format: int64
                 * @description The submitter's whole stake at its result: what bonds are computed on.
                 */
                stake_at_result_lamports: number;
                /** @description `opening`, `joining`, `jury` or `resolved`. */
                status: string;
                /** Format: int64 */
                submitted_slot?: number | null;
                /** @description Authority of the validator whose result it is about, base58. */
                submitter: string;
                /** Format: int64 */
                submitter_lamports?: number | null;
                /**
                 * Format: int64
                 * @description What a juror gets where the jury decides.
                 */
                tariff_lamports: number;
                /** @description `guilty`, `not_guilty`, `void` or `fault`. */
                verdict?: string | null;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_Class: {
            data: {
                /** @description Whether the probe's time was measured on the device that the class is named after. */
                calibrated: boolean;
                /** @description Commitment of its newest change. */
                commitment: string;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** @description Address of its account, base58. */
                id: string;
                /**
                 * Format: int64
                 * @description Side of the matrices that each unit multiplies.
                 */
                matrix_side: number;
                name: string;
                /** @description `class`. */
                object?: string;
                /**
                 * Format: int64
                 * @description Slots from the beginning of an epoch in which its proof is taken.
                 */
                proof_slots: number;
                registered_at?: string | null;
                /** Format: int64 */
                registered_slot: number;
                /** @description No new providers and requests. */
                retired: boolean;
                /** Format: int64 */
                retired_slot?: number | null;
                /**
                 * Format: int64
                 * @description Products that each unit computes in each epoch.
                 */
                rounds: number;
                /** Format: int64 */
                stake_per_unit_lamports: number;
                /**
                 * Format: int64
                 * @description Memory of a unit's GPU in MiB, as the class says; nothing proves it.
                 */
                vram_mib: number;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_DailyRow: {
            data: {
                /** Format: int64 */
                burned_lamports: number;
                /** @description `after` of the next page. */
                cursor: string;
                /** @description `YYYY-MM-DD`. */
                day: string;
                /**
                 * Format: int64
                 * @description Disputes opened.
                 */
                disputes: number;
                /** Format: int64 */
                fee_lamports: number;
                /** Format: int64 */
                foundation_lamports: number;
                /** Format: int64 */
                jobs_refunded: number;
                /** Format: int64 */
                jobs_requested: number;
                /** Format: int64 */
                jobs_settled: number;
                /** Format: int64 */
                jobs_slashed: number;
                /** Format: int64 */
                jobs_submitted: number;
                /**
                 * Format: int64
                 * @description Of the results.
                 */
                output_tokens: number;
                /**
                 * Format: int64
                 * @description Different wallets that requested.
                 */
                owners: number;
                /**
                 * Format: int64
                 * @description Of the results.
                 */
                prompt_tokens: number;
                /** Format: int64 */
                slashed_lamports: number;
                /** Format: int64 */
                validator_lamports: number;
                /**
                 * Format: int64
                 * @description Different validators that gave results.
                 */
                validators: number;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_FingerprintRow: {
            data: {
                /** @description `processed`, `confirmed` or `finalized`. */
                commitment: string;
                /** @description `after` of the next page. */
                cursor: string;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                fingerprint?: string | null;
                /** @description `eos`, `length`, `stopped` or `cancelled`. */
                finish_reason?: string | null;
                /** @description Address, base58. */
                job: string;
                /** @description Address, base58. */
                model: string;
                output_root?: string | null;
                /** Format: int64 */
                output_tokens?: number | null;
                prompt_hash: string;
                /** Format: int64 */
                prompt_tokens: number;
                submitted_at?: string | null;
                /** Format: int64 */
                submitted_slot: number;
                terms_hash: string;
                /** @description Authority, base58. */
                validator?: string | null;
                /**
                 * Format: int64
                 * @description Slot from which nobody opens a case about it.
                 */
                window_end_slot?: number | null;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_Job: {
            data: {
                /**
                 * Format: int64
                 * @description The part of the fee that is burned.
                 */
                burned_lamports?: number | null;
                /**
                 * Format: int64
                 * @description Most that it can cost.
                 */
                ceiling_lamports: number;
                /**
                 * Format: int64
                 * @description Slot in which its account was closed.
                 */
                closed_slot?: number | null;
                /** @description Commitment of its newest transition: `processed`, `confirmed` or `finalized`. */
                commitment?: string | null;
                /**
                 * Format: int64
                 * @description Last slot in which a result is taken.
                 */
                deadline_slot?: number | null;
                /** @description Why the job ended: `claimed`, `cancelled`, `declined`, `expired`, `not_guilty`, `void`, `guilty` or `fault`. */
                end_reason?: string | null;
                /** @description Time of `ended_slot`. */
                ended_at?: string | null;
                /**
                 * Format: int64
                 * @description Slot in which it was settled, refunded or slashed.
                 */
                ended_slot?: number | null;
                /** @description False where a gap in the index may hide changes. */
                exact?: boolean | null;
                /**
                 * Format: int64
                 * @description What it cost.
                 */
                fee_lamports?: number | null;
                /** @description 64 hex digits. */
                fingerprint?: string | null;
                /** @description Why the answer ended: `eos`, `length`, `stopped` or `cancelled`. */
                finish_reason?: string | null;
                /**
                 * Format: int64
                 * @description The foundation's part of the fee.
                 */
                foundation_lamports?: number | null;
                /** @description Address of its account, base58. */
                id: string;
                /**
                 * Format: int64
                 * @description Most tokens of the answer.
                 */
                max_output_tokens: number;
                /** @description Id of the model if this gateway serves it, else its address. */
                model: string;
                /** @description Address of the model, base58. */
                model_address?: string;
                /** @description `job`. */
                object?: string;
                /**
                 * Format: int64
                 * @description Cases about its result that are not resolved: at most one.
                 */
                open_disputes?: number | null;
                /** @description 64 hex digits. */
                output_root?: string | null;
                /**
                 * Format: int64
                 * @description Tokens of the answer.
                 */
                output_tokens?: number | null;
                /** @description The wallet that pays, base58. */
                owner: string;
                /**
                 * Format: int64
                 * @description Lamports per 1,000 prompt tokens.
                 */
                price_in: number;
                /**
                 * Format: int64
                 * @description Lamports per 1,000 output tokens.
                 */
                price_out: number;
                /** @description 64 hex digits. */
                prompt_hash: string;
                /**
                 * Format: int64
                 * @description Tokens of the prompt.
                 */
                prompt_tokens: number;
                /**
                 * Format: int64
                 * @description What went back to the owner.
                 */
                refunded_lamports?: number | null;
                /** @description Time of `requested_slot`. */
                requested_at?: string | null;
                /**
                 * Format: int64
                 * @description Slot of the request.
                 */
                requested_slot?: number | null;
                /** @description Who signed the request: the owner or a delegate, base58. */
                requester: string;
                /**
                 * Format: int64
                 * @description How its tokens are chosen: 1 `seeded-top4`, which anybody replays from the evidence; 2 `seeded-full`, which only those can
                 *     compute again who run the model.
                 */
                sampling_profile: number;
                /** @description 64 hex digits. */
                seed?: string | null;
                /**
                 * Format: int64
                 * @description Stake that the validator lost.
                 */
                slashed_lamports?: number | null;
                /** @description `open`, `accepted`, `submitted`, `disputed`, `settled`, `refunded` or `slashed`; before the index shows it `pending`,
                 *     `unconfirmed` (sent, and not seen on chain in time) or `unpaid` (it can't come on chain any more). */
                status: string;
                /**
                 * Format: int64
                 * @description Slot of the result.
                 */
                submitted_slot?: number | null;
                /**
                 * Format: int64
                 * @description Temperature in thousandths.
                 */
                temperature_milli: number;
                /** @description 64 hex digits. */
                terms_hash?: string | null;
                /** @description What happened to it, in order. */
                transitions?: components["schemas"]["Transition"][] | null;
                /** @description Authority of the validator that accepted it, base58. */
                validator?: string | null;
                /**
                 * Format: int64
                 * @description The validator's part of the fee.
                 */
                validator_lamports?: number | null;
                /**
                 * Format: int64
                 * @description Slot from which nobody opens a case about the result.
                 */
                window_end_slot?: number | null;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_Lease: {
            data: {
                accepted_at?: string | null;
                /** Format: int64 */
                accepted_slot: number;
                /** @description Hash of what the tenant needs to reach it, 64 hex digits; null before the start. */
                access_hash?: string | null;
                /**
                 * Format: int64
                 * @description Slot from which its start has not been acknowledged in time.
                 */
                ack_end_slot?: number | null;
                acknowledged_at?: string | null;
                /** Format: int64 */
                acknowledged_slot?: number | null;
                /**
                 * Format: int64
                 * @description Without a name: always 0.
                 */
                astray_lamports: number;
                /** Format: int64 */
                burned_lamports: number;
                /** @description Address of its class, base58. */
                class: string;
                class_name?: string | null;
                /**
                 * Format: int64
                 * @description Slot in which its account was closed.
                 */
                closed_slot?: number | null;
                /** @description Commitment of its newest change. */
                commitment: string;
                /**
                 * Format: int64
                 * @description Of the provider's stake, for the tenant.
                 */
                compensated_lamports: number;
                /** Format: int64 */
                deposited_lamports: number;
                /** Format: int64 */
                disputes: number;
                ended_at?: string | null;
                /** Format: int64 */
                ended_slot?: number | null;
                /** @description From here on nothing is metered. */
                ends_at?: string | null;
                /**
                 * Format: int64
                 * @description Epoch of `slot`.
                 */
                epoch?: number | null;
                /** Format: int64 */
                epoch_seconds: number;
                /** Format: int64 */
                epoch_slots: number;
                /** Format: int64 */
                epochs_missed: number;
                /**
                 * Format: int64
                 * @description Epochs with a proof, also of those that the index has not seen; null where nothing says whether its time was over at its end.
                 */
                epochs_proved?: number | null;
                /**
                 * Format: int64
                 * @description Lie in the lease for seconds to come.
                 */
                escrow_lamports: number;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** Format: int64 */
                foundation_lamports: number;
                /**
                 * Format: int64
                 * @description All that lies in the lease: escrow, pending, the tenant's; 0 once its account is closed.
                 */
                held_lamports: number;
                /** @description Address of its account, base58. */
                id: string;
                /** @description `endpoint` or `container`; null if the index does not know its request. */
                kind?: string | null;
                /**
                 * Format: int64
                 * @description Epoch of the last proof, of the start before there is one.
                 */
                last_proved_epoch?: number | null;
                /**
                 * Format: int64
                 * @description Side of the matrices that each unit multiplies.
                 */
                matrix_side: number;
                /** @description Up to here its seconds are metered. */
                metered_at?: string | null;
                /** @description Of an endpoint the id of its model if this gateway serves it, else its address. */
                model?: string | null;
                /** @description Address of the model, base58. */
                model_address?: string | null;
                next?: null | components["schemas"]["NextPhase"];
                /**
                 * Format: int64
                 * @description Epoch in which the provider gave notice.
                 */
                notice_epoch?: number | null;
                /** @description `lease`. */
                object?: string;
                /** Format: int64 */
                open_disputes: number;
                /**
                 * Format: int64
                 * @description Went to the provider.
                 */
                paid_lamports: number;
                /**
                 * Format: int64
                 * @description Lie in the lease for epochs that can be disputed.
                 */
                pending_lamports: number;
                /**
                 * Format: int64
                 * @description Lamports a second for each unit.
                 */
                price_lamports: number;
                /**
                 * Format: int64
                 * @description Slots from the beginning of an epoch in which its proof is taken.
                 */
                proof_slots: number;
                /** @description Authority of its provider, base58. */
                provider: string;
                /** @description Why it ended: `completed`, `closed_by_tenant`, `closed_by_provider`, `never_started`, `never_acknowledged`, `missed_proofs` or
                 *     `proof_refuted`; null while it runs. */
                reason?: string | null;
                /**
                 * Format: int64
                 * @description The tenant's again, those included that still lie in the lease.
                 */
                refunded_lamports: number;
                /**
                 * Format: int64
                 * @description Slot in which a proof of it was refuted.
                 */
                refuted_slot?: number | null;
                /** @description Address of its request, base58. */
                request: string;
                /**
                 * Format: int64
                 * @description Products that each unit computes in each epoch.
                 */
                rounds: number;
                rules: components["schemas"]["LeaseRules"];
                /**
                 * Format: int64
                 * @description Seconds that were paid for at the request.
                 */
                seconds: number;
                /**
                 * Format: int64
                 * @description Stake that the provider lost for it.
                 */
                slashed_lamports: number;
                /**
                 * Format: int64
                 * @description Newest slot of the index.
                 */
                slot?: number | null;
                /** Format: int64 */
                stake_per_unit_lamports: number;
                /**
                 * Format: int64
                 * @description Slot from which it has not been started in time.
                 */
                start_end_slot: number;
                started_at?: string | null;
                /** Format: int64 */
                started_slot?: number | null;
                /** @description `accepted`, `started`, `active`, `closing` or `ended`. */
                status: string;
                /** @description Who uses it and gets refunds, base58. */
                tenant: string;
                /**
                 * Format: int64
                 * @description Lie in the lease for the tenant.
                 */
                tenant_due_lamports: number;
                /** @description 64 hex digits. */
                terms_hash: string;
                /** Format: int64 */
                units: number;
                updated_at?: string | null;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_LeaseDispute: {
            data: {
                /**
                 * Format: int64
                 * @description Burned if everything that is named is right.
                 */
                at_stake_lamports: number;
                /**
                 * Format: int64
                 * @description What it paid in: for the answer and at stake.
                 */
                bond_lamports: number;
                /**
                 * Format: int64
                 * @description Of the bond.
                 */
                burned_lamports?: number | null;
                /** Format: int64 */
                closed_slot?: number | null;
                /** @description Commitment of its newest change. */
                commitment: string;
                /** @description Who says so, base58. */
                disputer: string;
                elements: components["schemas"]["LeaseElement"][];
                /** Format: int64 */
                epoch: number;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /**
                 * Format: int64
                 * @description For the answer.
                 */
                fee_lamports: number;
                /** @description Hash of the epoch's first slot, 64 hex digits. */
                hash: string;
                /**
                 * Format: int64
                 * @description Lies in its account.
                 */
                held_lamports: number;
                /** @description Address of its account, base58. */
                id: string;
                /** @description Address of the lease, base58. */
                lease: string;
                /**
                 * Format: int64
                 * @description How many elements it names.
                 */
                named_elements: number;
                /**
                 * Format: int64
                 * @description Which dispute about the lease it is, from 0: they are decided in this order.
                 */
                number: number;
                /** @description `lease_dispute`. */
                object?: string;
                opened_at?: string | null;
                /**
                 * Format: int64
                 * @description How many of them were shown and are right.
                 */
                opened_elements: number;
                /** Format: int64 */
                opened_slot: number;
                /**
                 * Format: int64
                 * @description Slot from which nothing can be opened.
                 */
                openings_end_slot: number;
                /** @description `answered`, `wrong`, `unanswered` or `void`. */
                outcome?: string | null;
                /**
                 * Format: int64
                 * @description Of the bond, the provider's for its answer.
                 */
                paid_lamports?: number | null;
                /** @description 64 hex digits. */
                proof: string;
                /** @description Authority of the provider, base58. */
                provider: string;
                resolved_at?: string | null;
                /** Format: int64 */
                resolved_slot?: number | null;
                /**
                 * Format: int64
                 * @description Slot from which its account can be closed, which pays its disputer.
                 */
                retention_end_slot?: number | null;
                /**
                 * Format: int64
                 * @description Of the bond, the disputer's again.
                 */
                returned_lamports?: number | null;
                /**
                 * Format: int64
                 * @description Of the stake, the disputer's.
                 */
                reward_lamports?: number | null;
                /**
                 * Format: int64
                 * @description Stake that the provider lost.
                 */
                slashed_lamports?: number | null;
                /** @description `open`, `wrong` (an element was shown and is wrong) or `resolved`. */
                status: string;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_LeaseEpoch: {
            data: {
                /**
                 * Format: int64
                 * @description Lamports of them.
                 */
                amount_lamports: number;
                /** Format: int64 */
                burned_lamports?: number | null;
                /** @description Commitment of its newest change. */
                commitment: string;
                /**
                 * Format: int64
                 * @description Slot from which it can't be disputed any more.
                 */
                dispute_end_slot: number;
                /** Format: int64 */
                epoch: number;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** Format: int64 */
                foundation_lamports?: number | null;
                /** @description Hash of the epoch's first slot, 64 hex digits. */
                hash?: string | null;
                /** @description False once its place in the account was needed for another epoch. */
                in_ring: boolean;
                metered_at?: string | null;
                /** Format: int64 */
                metered_slot: number;
                /** Format: int64 */
                open_disputes: number;
                /** @description 64 hex digits. */
                proof?: string | null;
                /** @description False for the seconds behind the last proof. */
                proved: boolean;
                /** Format: int64 */
                provider_lamports?: number | null;
                /** Format: int64 */
                refunded_lamports?: number | null;
                /**
                 * Format: int64
                 * @description Seconds that were metered.
                 */
                seconds: number;
                /** @description `pending`, `released`, `unserved`, `refuted` or `forfeited`. */
                status: string;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_LeaseRequest: {
            data: {
                /** @description Address of the class, base58. */
                class: string;
                class_name?: string | null;
                /** Format: int64 */
                closed_slot?: number | null;
                /** @description Commitment of its newest change. */
                commitment: string;
                /**
                 * Format: int64
                 * @description Slot from which nobody can accept it.
                 */
                deadline_slot: number;
                /**
                 * Format: int64
                 * @description The price of all seconds.
                 */
                deposited_lamports: number;
                ended_at?: string | null;
                /** Format: int64 */
                ended_slot?: number | null;
                /** Format: int64 */
                epoch_seconds: number;
                /** Format: int64 */
                epoch_slots: number;
                /**
                 * Format: int64
                 * @description Lies in its account; of one that is closed what went out with it, to who paid its rent.
                 */
                escrow_lamports: number;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** @description Address of its account, base58. */
                id: string;
                /** @description The least that is asked for: `process`, `container` or `sandbox`. */
                isolation?: string | null;
                /** @description `endpoint` or `container`. */
                kind?: string | null;
                /** @description Address of its lease, base58. */
                lease?: string | null;
                /** @description Of an endpoint the id of its model if this gateway serves it, else its address. */
                model?: string | null;
                /** @description Address of the model, base58. */
                model_address?: string | null;
                /** @description 32 hex digits. */
                nonce: string;
                /** @description `lease_request`. */
                object?: string;
                /**
                 * Format: int64
                 * @description Most lamports a second for each unit.
                 */
                price_lamports: number;
                /** @description Authority of the provider that may accept it, base58; null: any. */
                provider?: string | null;
                /**
                 * Format: int64
                 * @description Went back to the tenant without a lease.
                 */
                refunded_lamports: number;
                /** @description Where the provider must be; empty: anywhere. */
                region: string;
                requested_at?: string | null;
                /** Format: int64 */
                requested_slot: number;
                rules: components["schemas"]["LeaseRules"];
                /** Format: int64 */
                seconds: number;
                /** @description 64 hex digits. */
                spec_hash: string;
                /** @description URL at which the spec is found, as the tenant says. */
                spec_source: string;
                /** @description `open`, `accepted`, `cancelled` or `expired`. */
                status?: string | null;
                /** @description Who asks and gets refunds, base58. */
                tenant: string;
                /** @description 64 hex digits. */
                terms_hash: string;
                /** Format: int64 */
                units: number;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_MarketDay: {
            data: {
                /** Format: int64 */
                burned_lamports: number;
                /** @description `after` of the next page. */
                cursor: string;
                /** @description `YYYY-MM-DD`. */
                day: string;
                /**
                 * Format: int64
                 * @description Disputes opened.
                 */
                disputes: number;
                /**
                 * Format: int64
                 * @description Epochs with a proof that the index has seen.
                 */
                epochs_proved: number;
                /** Format: int64 */
                foundation_lamports: number;
                /** Format: int64 */
                leases_accepted: number;
                /** Format: int64 */
                leases_ended: number;
                /** Format: int64 */
                paid_lamports: number;
                /** Format: int64 */
                refunded_lamports: number;
                /**
                 * Format: int64
                 * @description Requests made.
                 */
                requests: number;
                /** Format: int64 */
                slashed_lamports: number;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_Model: {
            data: {
                /** @description Address of its account, base58. */
                address: string;
                /**
                 * Format: int32
                 * @description Tokens of prompt and answer together.
                 */
                context_length?: number | null;
                /**
                 * Format: int64
                 * @description When it was registered, Unix seconds.
                 */
                created?: number | null;
                /** @description Name and first 8 hex digits of the identity, `name@01234567`. */
                id: string;
                /** @description 64 hex digits. */
                identity: string;
                /** @description Requests that name no model are for it. */
                is_default: boolean;
                /** @description Its results are compared to the bit, so that options, functions and formats can be asked for. */
                is_exact?: boolean | null;
                judges?: null | components["schemas"]["Judges"];
                /** @description Arithmetic of its logits. */
                kernel_profile?: string | null;
                /**
                 * Format: int32
                 * @description Most tokens of a job.
                 */
                max_job_tokens?: number | null;
                name: string;
                /** @description `model`. */
                object: string;
                /** @description Who registered it, base58. */
                owned_by?: string | null;
                /** Format: int32 */
                price_in_lamports_per_1k?: number | null;
                /** Format: int32 */
                price_out_lamports_per_1k?: number | null;
                /** @description `active` or `retired`. */
                status?: string | null;
                /** @description Registered validators that serve it; null while the chain is away. */
                validators?: number | null;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_ModelPrice: {
            data: {
                /** @description Time of the block. */
                at?: string | null;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** Format: int64 */
                price_in_lamports_per_1k: number;
                /** Format: int64 */
                price_out_lamports_per_1k: number;
                /** @description Nobody can request it any more. */
                retired: boolean;
                /**
                 * Format: int64
                 * @description Slot of the block that wrote the model.
                 */
                slot: number;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_Provider: {
            data: {
                /**
                 * Format: int64
                 * @description Stake that will count from `activation_slot` on.
                 */
                activating_lamports: number;
                /** Format: int64 */
                activation_slot?: number | null;
                /** @description Its owner, base58: how requests and leases name it. */
                authority: string;
                /**
                 * Format: int64
                 * @description Units that stake stands behind: leased ones, and those of ended leases whose accounts are not closed.
                 */
                backed_units: number;
                /**
                 * Format: int64
                 * @description Earned, and not taken out yet.
                 */
                claimable_lamports: number;
                /** @description Address of its class, base58. */
                class: string;
                class_name?: string | null;
                /** @description Commitment of its newest change. */
                commitment: string;
                /** Format: int64 */
                earned_lamports: number;
                /** @description URL at which tenants reach it, as it says. */
                endpoint: string;
                /** Format: int64 */
                epochs_missed: number;
                /** Format: int64 */
                epochs_proved: number;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** Format: int64 */
                free_units: number;
                /** @description Address of its account, base58. */
                id: string;
                /** @description `process`, `container` or `sandbox`, as it says. */
                isolation?: string | null;
                /**
                 * Format: int64
                 * @description Slot from which a jailed one may ask to be unjailed.
                 */
                jailed_until_slot?: number | null;
                /** Format: int64 */
                leased_units: number;
                /**
                 * Format: int64
                 * @description Leases that it accepted.
                 */
                leases: number;
                /** @description `provider`. */
                object?: string;
                /**
                 * Format: int64
                 * @description Slot until which no stake leaves.
                 */
                obliged_until_slot?: number | null;
                /** Format: int64 */
                open_disputes: number;
                /**
                 * Format: int64
                 * @description Leases that run, and ended ones whose accounts are not closed.
                 */
                open_leases: number;
                /** @description Accepts, starts, proves, base58. */
                operator: string;
                /**
                 * Format: int64
                 * @description What is to burn, until it is swept.
                 */
                owed_burn_lamports: number;
                /**
                 * Format: int64
                 * @description The foundation's part, until it is swept.
                 */
                owed_foundation_lamports: number;
                /**
                 * Format: int64
                 * @description Stake of all times.
                 */
                paid_in_lamports: number;
                /**
                 * Format: int64
                 * @description Lamports a second for each unit.
                 */
                price_lamports: number;
                /** Format: int64 */
                proofs_refuted: number;
                /** @description Where it is, as it says. */
                region: string;
                registered_at?: string | null;
                /** Format: int64 */
                registered_slot: number;
                /** Format: int64 */
                slashed_lamports: number;
                /**
                 * Format: int64
                 * @description Stake that counts.
                 */
                stake_lamports: number;
                /** Format: int64 */
                stake_per_unit_lamports: number;
                /** @description `active` or `jailed`. */
                status?: string | null;
                /**
                 * Format: int64
                 * @description Stake that leaves.
                 */
                unbonding_lamports: number;
                /** Format: int64 */
                unbonding_slot?: number | null;
                /**
                 * Format: int64
                 * @description Units that it offers.
                 */
                units: number;
                /**
                 * Format: int64
                 * @description Lamports of epochs that tenants called unserved.
                 */
                unserved_lamports: number;
                /** Format: int64 */
                updated_slot: number;
                /** Format: int64 */
                withdrawn_lamports: number;
                /**
                 * Format: int64
                 * @description Stake that left.
                 */
                withdrawn_stake_lamports: number;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_SettlementRow: {
            data: {
                /** Format: int64 */
                burned_lamports?: number | null;
                /** Format: int64 */
                ceiling_lamports: number;
                /** @description `processed`, `confirmed` or `finalized`. */
                commitment: string;
                /** @description `after` of the next page. */
                cursor: string;
                /** @description The case about its result, base58. */
                dispute?: string | null;
                /** @description `claimed`, `cancelled`, `declined`, `expired`, `not_guilty`, `void`, `guilty` or `fault`. */
                end_reason?: string | null;
                ended_at?: string | null;
                /** Format: int64 */
                ended_slot: number;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** Format: int64 */
                fee_lamports?: number | null;
                /** Format: int64 */
                foundation_lamports?: number | null;
                /** @description Address, base58. */
                job: string;
                /** @description Address, base58. */
                model: string;
                /** Format: int64 */
                output_tokens?: number | null;
                /** @description The wallet that paid, base58. */
                owner: string;
                /** Format: int64 */
                prompt_tokens: number;
                /** Format: int64 */
                refunded_lamports?: number | null;
                /** Format: int64 */
                slashed_lamports?: number | null;
                /** @description `settled`, `refunded` or `slashed`. */
                status?: string | null;
                /** @description Authority, base58; null if none accepted it. */
                validator?: string | null;
                /** Format: int64 */
                validator_lamports?: number | null;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_SlashRow: {
            data: {
                /** Format: int64 */
                burned_lamports?: number | null;
                /** @description Base58. */
                challenger: string;
                /**
                 * Format: int64
                 * @description Beyond the bond that the challenger gets back.
                 */
                challenger_reward_lamports?: number | null;
                /** @description `processed`, `confirmed` or `finalized`. */
                commitment: string;
                /** @description `after` of the next page. */
                cursor: string;
                /** @description Address, base58. */
                dispute: string;
                /** @description False where a gap in the index may hide changes. */
                exact: boolean;
                /** @description `jury`, `unanswered` or `fault`. */
                ground?: string | null;
                /** @description Address, base58. */
                job: string;
                /** Format: int64 */
                jurors_lamports?: number | null;
                resolved_at?: string | null;
                /** Format: int64 */
                resolved_slot: number;
                /**
                 * Format: int64
                 * @description All of it: the three below together.
                 */
                slashed_lamports: number;
                /** @description Authority, base58. */
                validator: string;
                /** @description `guilty` or `fault`. */
                verdict?: string | null;
            }[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description A page of a list. */
        Page_Validator: {
            data: (components["schemas"]["ValidatorRow"] & {
                live?: null | components["schemas"]["Live"];
                /** @description `validator`. */
                object: string;
            })[];
            /** @description Rows follow the last of these. */
            has_more: boolean;
            /** @description `list`. */
            object: string;
        };
        /** @description `ok`, or `down` with the error. */
        Part: {
            error?: string | null;
            state: string;
        };
        /** @description A call of an earlier turn. */
        PastCallBody: {
            function: components["schemas"]["PastFunctionBody"];
            id: string;
            /** @description `function`. */
            type: string;
        };
        /** @description Name and arguments of a call of an earlier turn. */
        PastFunctionBody: {
            /** @description JSON in a string. */
            arguments: string;
            name: string;
        };
        /** @description `ok` or `low`: the account that pays fees and fronts rent. */
        PayerState: components["schemas"]["Part"] & {
            address: string;
            /** Format: int64 */
            lamports?: number | null;
        };
        /** @description Body of `POST /v1/credit`. */
        PayIn: {
            /** @description First signature of the transaction that made the transfer, base58. */
            signature: string;
        };
        /** @description A transaction that the client signed itself. */
        Payment: {
            /** @description The salt of its prompt hash, 32 hex digits. */
            salt: string;
            /** @description Base64 of a RequestInference that lacks the operator's signature. */
            transaction: string;
        };
        /** @description `/livez` and `/readyz`. */
        Probed: {
            /** @description `live` or `ready`. */
            status: string;
        };
        /** @description Answer of `GET /v1/prompts/:prompt_hash` (hex), only for the operator whose validator accepted a job with that prompt. */
        PromptBody: {
            /** @description The canonical bytes of the sampling options, base64: for `seeded-full`, which has its stop strings there; no bytes where
             *     they are neutral. */
            options?: string | null;
            /** @description Token ids as the model sees them, BOS included. */
            prompt_ids: number[];
            /** @description 32 hex digits. */
            salt: string;
            /** @description Stop strings of `seeded-top4`, in the order of the terms' hash. */
            stop?: string[];
        };
        /** @description Parts of the prompt. */
        PromptTokensDetails: {
            /** Format: int64 */
            audio_tokens: number;
            /**
             * Format: int64
             * @description What the validators had read before, by their own word; absent where one of them said nothing.
             */
            cached_tokens?: number | null;
        };
        /** @description A provider as it is registered on chain. Amounts are lamports. */
        Provider: {
            /**
             * Format: int64
             * @description Stake that will count from `activation_slot` on.
             */
            activating_lamports: number;
            /** Format: int64 */
            activation_slot?: number | null;
            /** @description Its owner, base58: how requests and leases name it. */
            authority: string;
            /**
             * Format: int64
             * @description Units that stake stands behind: leased ones, and those of ended leases whose accounts are not closed.
             */
            backed_units: number;
            /**
             * Format: int64
             * @description Earned, and not taken out yet.
             */
            claimable_lamports: number;
            /** @description Address of its class, base58. */
            class: string;
            class_name?: string | null;
            /** @description Commitment of its newest change. */
            commitment: string;
            /** Format: int64 */
            earned_lamports: number;
            /** @description URL at which tenants reach it, as it says. */
            endpoint: string;
            /** Format: int64 */
            epochs_missed: number;
            /** Format: int64 */
            epochs_proved: number;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /** Format: int64 */
            free_units: number;
            /** @description Address of its account, base58. */
            id: string;
            /** @description `process`, `container` or `sandbox`, as it says. */
            isolation?: string | null;
            /**
             * Format: int64
             * @description Slot from which a jailed one may ask to be unjailed.
             */
            jailed_until_slot?: number | null;
            /** Format: int64 */
            leased_units: number;
            /**
             * Format: int64
             * @description Leases that it accepted.
             */
            leases: number;
            /** @description `provider`. */
            object?: string;
            /**
             * Format: int64
             * @description Slot until which no stake leaves.
             */
            obliged_until_slot?: number | null;
            /** Format: int64 */
            open_disputes: number;
            /**
             * Format: int64
             * @description Leases that run, and ended ones whose accounts are not closed.
             */
            open_leases: number;
            /** @description Accepts, starts, proves, base58. */
            operator: string;
            /**
             * Format: int64
             * @description What is to burn, until it is swept.
             */
            owed_burn_lamports: number;
            /**
             * Format: int64
             * @description The foundation's part, until it is swept.
             */
            owed_foundation_lamports: number;
            /**
             * Format: int64
             * @description Stake of all times.
             */
            paid_in_lamports: number;
            /**
             * Format: int64
             * @description Lamports a second for each unit.
             */
            price_lamports: number;
            /** Format: int64 */
            proofs_refuted: number;
            /** @description Where it is, as it says. */
            region: string;
            registered_at?: string | null;
            /** Format: int64 */
            registered_slot: number;
            /** Format: int64 */
            slashed_lamports: number;
            /**
             * Format: int64
             * @description Stake that counts.
             */
            stake_lamports: number;
            /** Format: int64 */
            stake_per_unit_lamports: number;
            /** @description `active` or `jailed`. */
            status?: string | null;
            /**
             * Format: int64
             * @description Stake that leaves.
             */
            unbonding_lamports: number;
            /** Format: int64 */
            unbonding_slot?: number | null;
            /**
             * Format: int64
             * @description Units that it offers.
             */
            units: number;
            /**
             * Format: int64
             * @description Lamports of epochs that tenants called unserved.
             */
            unserved_lamports: number;
            /** Format: int64 */
            updated_slot: number;
            /** Format: int64 */
            withdrawn_lamports: number;
            /**
             * Format: int64
             * @description Stake that left.
             */
            withdrawn_stake_lamports: number;
        };
        /** @description How much a model thinks. */
        ReasoningBody: {
            /** @description `none`, `low`, `medium` or `high`, where the model's template reads it. */
            effort?: string | null;
        };
        /** @description What was paid to whom for a job. Amounts are lamports; what is not known yet is null. */
        Receipt: {
            /** @description Every job of this choice of the request, if this gateway sent it. */
            attempts: components["schemas"]["ReceiptAttempt"][];
            /**
             * Format: int64
             * @description Most that it could cost.
             */
            ceiling_lamports: number;
            /** @description Commitment of its newest transition. */
            commitment?: string | null;
            /**
             * Format: int64
             * @description What it cost.
             */
            fee_lamports?: number | null;
            fingerprint?: string | null;
            /** @description Address, base58. */
            job: string;
            model: string;
            object: string;
            output_root?: string | null;
            /** Format: int64 */
            output_tokens?: number | null;
            /** @description The wallet that pays, base58. */
            owner: string;
            /** Format: int64 */
            price_in_lamports_per_1k: number;
            /** Format: int64 */
            price_out_lamports_per_1k: number;
            /** @description 64 hex digits, as the hashes below. */
            prompt_hash: string;
            /** Format: int64 */
            prompt_tokens: number;
            /**
             * Format: int64
             * @description What went back to the owner.
             */
            refunded_lamports?: number | null;
            /**
             * Format: int64
             * @description As in the job: 1 `seeded-top4`, 2 `seeded-full`.
             */
            sampling_profile: number;
            split: components["schemas"]["Split"];
            /** @description As in the job. */
            status: string;
            terms_hash?: string | null;
            /** @description What happened to it, in order. */
            transitions?: components["schemas"]["Transition"][] | null;
            /** @description Authority of the validator that accepted it, base58. */
            validator?: string | null;
            /**
             * Format: int64
             * @description Slot from which nobody opens a case about the result.
             */
            window_end_slot?: number | null;
        };
        /** @description A job that was made for a request. */
        ReceiptAttempt: {
            /** @description Authorities of the validators that were asked, base58. */
            asked: string[];
            /**
             * Format: int32
             * @description Number, from 0.
             */
            attempt: number;
            end_reason?: string | null;
            /** Format: int64 */
            fee_lamports?: number | null;
            /** @description Address, base58. */
            job: string;
            /** Format: int64 */
            refunded_lamports?: number | null;
            status?: string | null;
            /** @description Authority of the validator that accepted it, base58. */
            validator?: string | null;
        };
        /** @description A comparison of the index with the chain. */
        Reconciliation: {
            /** Format: int64 */
            accounts: number;
            checked_at: string;
            /** Format: int64 */
            confirmed: number;
            /** Format: int64 */
            context_slot: number;
            /** @description What differs, for people. */
            details: unknown;
            /** Format: int64 */
            differing: number;
            /** Format: int64 */
            inexact: number;
            ok: boolean;
            /**
             * Format: int64
             * @description Seconds since `checked_at`.
             */
            silent_seconds?: number | null;
            /** @description The same, as the index has it. */
            stored_in_index: {
                [key: string]: unknown;
            };
            /** @description Lamports that accounts store, by kind. */
            stored_on_chain: {
                [key: string]: unknown;
            };
            /** Format: int64 */
            unbacked: number;
        };
        /** @description What a response repeats of its request. */
        Repeated: {
            instructions?: string | null;
            /** Format: int32 */
            max_output_tokens?: number | null;
            metadata: {
                [key: string]: string;
            };
            parallel_tool_calls: boolean;
            reasoning: components["schemas"]["RepeatedReasoning"];
            /** Format: double */
            temperature: number;
            text: components["schemas"]["RepeatedText"];
            tool_choice: components["schemas"]["RepeatedChoice"];
            /** @description As the request has them. */
            tools: {
                [key: string]: unknown;
            }[];
            /** Format: double */
            top_p: number;
            user?: string | null;
        };
        /** @description A word, or the function that is to be called. */
        RepeatedChoice: string | {
            name: string;
            /** @description `function`. */
            type: string;
        };
        /** @description How much the model was to think; what it thinks is part of its text. */
        RepeatedReasoning: {
            /** @description As asked for. */
            effort?: string | null;
            /** @description Always null. */
            summary?: string | null;
        };
        /** @description What the text has to be. */
        RepeatedText: {
            /** @description `type` text, json_object or json_schema, with the fields that the request has beside it. */
            format: {
                [key: string]: unknown;
            };
        };
        /** @description A message of a conversation. */
        RequestMessage: {
            content?: null | components["schemas"]["Content"];
            /** @description `system`, `developer`, `user`, `assistant` or `tool`. */
            role: string;
            /** @description Of a tool: whose result this is. */
            tool_call_id?: string | null;
            /** @description Of an assistant: what it called. */
            tool_calls?: components["schemas"]["PastCallBody"][] | null;
        };
        /** @description Requests under way. */
        RequestsState: {
            running: number;
            state: string;
        };
        /** @description Body of `POST /v1/responses`. */
        ResponseBody: {
            chat_template_kwargs?: null | components["schemas"]["TemplateBody"];
            /** @description Objects that the answer is to rest on, at most 128, where the model's template reads them. */
            documents?: {
                [key: string]: unknown;
            }[] | null;
            /** @description Whether the model thinks before it answers, where its template can switch that. */
            enable_thinking?: boolean | null;
            /**
             * Format: double
             * @description Off the logits for each time that the answer has the token, -2 to 2.
             */
            frequency_penalty?: number | null;
            /** @description `message.output_text.logprobs` asks for log-probabilities; there is nothing else to include. */
            include?: string[] | null;
            /** @description What a user says, or a whole conversation: nothing is kept between requests. */
            input: components["schemas"]["ResponseInput"];
            /** @description What the model is told first. */
            instructions?: string | null;
            /** @description From token ids to what is added to their logits, -100 to 100; at most 1,024. */
            logit_bias?: {
                [key: string]: number;
            } | null;
            /**
             * Format: int32
             * @description Most tokens of the answer; 512 or what fits without one.
             */
            max_output_tokens?: number | null;
            /** @description Repeated in the response. */
            metadata?: {
                [key: string]: string;
            } | null;
            /**
             * Format: double
             * @description Only tokens with at least this share of the likeliest one's probability, 0 to 1.
             */
            min_p?: number | null;
            /** @description A model of `GET /v1/models`; the default one without it. */
            model?: string | null;
            mythic?: null | components["schemas"]["Payment"];
            /** @description Several calls in one answer; true without one. */
            parallel_tool_calls?: boolean | null;
            /**
             * Format: double
             * @description Off the logits of tokens that the answer has, -2 to 2.
             */
            presence_penalty?: number | null;
            reasoning?: null | components["schemas"]["ReasoningBody"];
            /**
             * Format: double
             * @description Divides the logits of tokens that the answer has, 0.001 to 10; 1 changes nothing.
             */
            repetition_penalty?: number | null;
            /** @description Ignored, and never so: nothing is kept. */
            store?: boolean | null;
            /** @description Server-sent events instead of one JSON. */
            stream?: boolean | null;
            /**
             * Format: double
             * @description 0 to 2, 1 without one.
             */
            temperature?: number | null;
            text?: null | components["schemas"]["TextBody"];
            tool_choice?: null | components["schemas"]["FlatChoiceBody"];
            /** @description Functions that the model may call, at most 128. */
            tools?: components["schemas"]["FlatToolBody"][] | null;
            /**
             * Format: int32
             * @description Only the likeliest so many are drawn; 0, -1 and 64 or more: all. 4 is what every model can do.
             */
            top_k?: number | null;
            /**
             * Format: int32
             * @description Candidates of each token, 0 to 4.
             */
            top_logprobs?: number | null;
            /**
             * Format: double
             * @description Share of probability of which tokens are drawn, 0 to 1; needs an exact model where it is not 1 and `temperature` is not 0.
             */
            top_p?: number | null;
            /** @description Repeated in the response. */
            user?: string | null;
        };
        /** @description What a text has to be. */
        ResponseFormat: {
            json_schema?: null | components["schemas"]["NamedSchema"];
            /** @description `text`, `json_object` or `json_schema`. */
            type: string;
        };
        /** @description What a user says, or the items of a conversation. */
        ResponseInput: string | components["schemas"]["ResponseItem"][];
        /** @description A message, a call of an earlier turn, or its result. */
        ResponseItem: {
            /** @description Of a call: JSON in a string. */
            arguments?: string | null;
            /** @description Of a call and its result. */
            call_id?: string | null;
            content?: null | components["schemas"]["Content"];
            /** @description Of a call: the function. */
            name?: string | null;
            output?: null | components["schemas"]["Content"];
            /** @description Of a message: `system`, `developer`, `user` or `assistant`. */
            role?: string | null;
            /** @description `message`, which is so without one, `function_call` or `function_call_output`. */
            type?: string | null;
        };
        /** @description Tokens of a response. */
        ResponseUsage: {
            /** Format: int64 */
            input_tokens: number;
            /** @description Parts of the input; all cost the same. */
            input_tokens_details: components["schemas"]["InputTokensDetails"];
            /** Format: int64 */
            output_tokens: number;
            /** @description What of the output was something else than text: nothing. */
            output_tokens_details: components["schemas"]["OutputTokensDetails"];
            /**
             * Format: int64
             * @description Both.
             */
            total_tokens: number;
        };
        /** @description A result was kept. */
        ResultKept: {
            /** @description Address of the job, base58. */
            job: string;
            kept: boolean;
            /** @description `result`. */
            object: string;
        };
        /** @description A key that was revoked. */
        RevokedKey: {
            deleted: boolean;
            id: string;
            object: string;
        };
        /** @description A model that a validator serves. */
        ServedModel: {
            /** @description Address, base58. */
            model: string;
            /** Format: int64 */
            since_slot: number;
        };
        /** @description What the settler last said of itself; empty before it ever ran. */
        SettlerBeat: {
            /**
             * Format: int64
             * @description Seconds since it said that it lives.
             * @default null
             */
            beat_seconds: number | null;
            /**
             * @description What it waits for: the word that the operator's guide explains, a colon, the message. Null while it works.
             * @default null
             */
            waits_for: string | null;
        };
        /** @description `ok`, `waiting` (`waits_for` says for what), `stale` (it has not compared for minutes, or gave no sign of life for 30 s), `none`
         *     (no settler has compared anything on this database) or `down`. */
        SettlerState: components["schemas"]["Part"] & components["schemas"]["SettlerBeat"] & {
            /**
             * Format: int64
             * @description Seconds since its last comparison.
             */
            silent_seconds?: number | null;
        };
        /** @description Parts of a fee. */
        Split: {
            /** Format: int64 */
            burned_lamports?: number | null;
            /** Format: int64 */
            foundation_lamports?: number | null;
            /** Format: int64 */
            validator_lamports?: number | null;
        };
        /** @description A page of the statistic that was asked for. */
        Statistics: components["schemas"]["Page_DailyRow"] | components["schemas"]["Page_BurnRow"] | components["schemas"]["Page_SlashRow"] | components["schemas"]["Page_SettlementRow"] | components["schemas"]["Page_FingerprintRow"] | components["schemas"]["Page_BurnedDay"] | components["schemas"]["Page_MarketDay"];
        /** @description A stop string, or several. */
        Stop: string | string[];
        /** @description What a stream ends with. */
        StreamOptions: {
            /** @description A last chunk with `usage`. */
            include_usage?: boolean | null;
        };
        /** @description What a chat template is told, as vLLM and llama.cpp have it. */
        TemplateBody: {
            enable_thinking?: boolean | null;
            reasoning_effort?: string | null;
        };
        /** @description What a client puts into a RequestInference that it signs itself. */
        Terms: {
            canceller: string;
            /** Format: int32 */
            deadline_slots: number;
            model: string;
            operator?: string | null;
            /** @description Hash of the options, or of the stop strings for profile 1; 64 hex digits, zeroes where there is nothing to say. */
            options_hash: string;
            prompt_hash: string;
            prompt_source: string;
            /** @description Hash of the network's rules, 64 hex digits. */
            rules_hash: string;
            /** @description 32 hex digits. */
            salt: string;
            /**
             * Format: int32
             * @description 1: drawn from the four likeliest, as the program replays by itself. 2: by the request's options.
             */
            sampling_profile: number;
            /** Format: int32 */
            temperature_milli: number;
            validator?: string | null;
        };
        /** @description What the text has to be. */
        TextBody: {
            format?: null | components["schemas"]["FlatFormat"];
        };
        /** @description One continuation, or more of it. */
        TextChoice: {
            /** @description `stop` or `length`; null until the last event of a stream. */
            finish_reason?: string | null;
            /** Format: int32 */
            index: number;
            logprobs?: null | components["schemas"]["TextLogprobs"];
            /** @description What the model writes behind the prompt. */
            text: string;
        };
        /** @description A text that was continued; also an event of a stream. */
        TextCompletion: {
            /** @description One for each of `n`; in a stream one, and none in the event of `usage`. */
            choices: components["schemas"]["TextChoice"][];
            /**
             * Format: int64
             * @description Unix seconds.
             */
            created: number;
            /** @description `cmpl-` and the first choice's job. */
            id: string;
            /** @description The model's id. */
            model: string;
            mythic?: null | components["schemas"]["Mythic"];
            /** @description `text_completion`. */
            object: string;
            /** @description What answered: the model's identity and how tokens are chosen. */
            system_fingerprint: string;
            usage?: null | components["schemas"]["Usage"];
        };
        /** @description Log-probabilities of a text's tokens. */
        TextLogprobs: {
            /** @description Characters of the text before each. */
            text_offset: number[];
            token_logprobs: number[];
            /** @description Their texts, with what is not UTF-8 replaced. */
            tokens: string[];
            /** @description The likeliest candidates of each. */
            top_logprobs: {
                [key: string]: number;
            }[];
        };
        /** @description What is continued: a text, or its tokens. */
        TextPrompt: string | string[] | number[];
        /** @description A token that was chosen. */
        TokenLogprob: {
            bytes: number[];
            /**
             * Format: double
             * @description Natural logarithm of its probability over the whole vocabulary, at temperature 1.
             */
            logprob: number;
            /** @description Its text, with what is not UTF-8 replaced. */
            token: string;
            /** @description The likeliest candidates, at most four. */
            top_logprobs: components["schemas"]["TopLogprob"][];
        };
        /** @description A function that the model may call. */
        ToolBody: {
            function: components["schemas"]["FunctionBody"];
            /** @description `function`. */
            type: string;
        };
        /** @description A function that the client is to call. */
        ToolCall: {
            function: components["schemas"]["CalledFunction"];
            /** @description What the message with its result names as `tool_call_id`. */
            id: string;
            /** @description `function`. */
            type: string;
        };
        /** @description What a chunk adds to a call. */
        ToolCallDelta: {
            function: components["schemas"]["FunctionDelta"];
            /** @description In the first chunk of a call. */
            id?: string | null;
            /** @description Which of the choice's calls. */
            index: number;
            /** @description `function`, in the first chunk of a call. */
            type?: string | null;
        };
        /** @description Whether the model calls. */
        ToolChoiceBody: string | components["schemas"]["NamedTool"];
        /** @description A candidate. */
        TopLogprob: {
            bytes: number[];
            /** Format: double */
            logprob: number;
            token: string;
        };
        /** @description A change of a job's status. */
        Transition: {
            /** @description Time of the slot. */
            at?: string | null;
            /** @description `processed`, `confirmed` or `finalized`. */
            commitment: string;
            /** @description The transaction, base58; null where no bank with it was seen. */
            signature?: string | null;
            /** Format: int64 */
            slot: number;
            /** @description `open`, `accepted`, `cancelling`, `submitted`, `disputed`, `settled`, `refunded` or `slashed`. */
            status?: string | null;
        };
        /** @description Tokens of a request. */
        Usage: {
            /**
             * Format: int64
             * @description Of all choices.
             */
            completion_tokens: number;
            /** @description What of the answer was something else than text: nothing. */
            completion_tokens_details: components["schemas"]["CompletionTokensDetails"];
            /**
             * Format: int64
             * @description Of the prompt, once for each choice: each is a job that pays for it.
             */
            prompt_tokens: number;
            /** @description Parts of the prompt; all cost the same. */
            prompt_tokens_details: components["schemas"]["PromptTokensDetails"];
            /**
             * Format: int64
             * @description Both.
             */
            total_tokens: number;
        };
        /** @description A validator as it is registered, with what it announces of itself. */
        Validator: components["schemas"]["ValidatorRow"] & {
            live?: null | components["schemas"]["Live"];
            /** @description `validator`. */
            object: string;
        };
        /** @description A validator as it is registered on chain. Amounts are lamports. */
        ValidatorRow: {
            /**
             * Format: int64
             * @description Stake that will count soon.
             */
            activating: number;
            /** @description Its owner, base58. */
            authority: string;
            /**
             * Format: int64
             * @description Earned, and not taken out yet.
             */
            claimable: number;
            /** @description Commitment of its newest change. */
            commitment: string;
            /**
             * Format: int64
             * @description Lamports since it was registered.
             */
            earned: number;
            /** @description Origin of its node. */
            endpoint: string;
            /** @description False where a gap in the index may hide changes. */
            exact: boolean;
            /** @description As it says; empty without one. */
            gpu_name: string;
            /** @description Address of its account, base58. */
            id: string;
            /**
             * Format: int64
             * @description Slot until which it is jailed.
             */
            jailed_until?: number | null;
            /** Format: int64 */
            jobs_declined: number;
            /**
             * Format: int64
             * @description Accepted, and not answered in time.
             */
            jobs_missed: number;
            /** Format: int64 */
            jobs_settled: number;
            models: components["schemas"]["ServedModel"][];
            /** Format: int64 */
            open_disputes: number;
            /** Format: int64 */
            open_jobs: number;
            /** @description Signs for its node, base58. */
            operator: string;
            /**
             * Format: int64
             * @description The part of its fees to be burned, until it is swept.
             */
            owed_burn: number;
            /**
             * Format: int64
             * @description The foundation's part of its fees, until it is swept.
             */
            owed_foundation: number;
            registered_at?: string | null;
            /** Format: int64 */
            registered_slot: number;
            /**
             * Format: int64
             * @description Lamports since it was registered.
             */
            slashed: number;
            /**
             * Format: int64
             * @description Stake that counts.
             */
            stake: number;
            /** @description `active` or `jailed`. */
            status?: string | null;
            /**
             * Format: int64
             * @description Stake that leaves.
             */
            unbonding: number;
            /**
             * Format: int64
             * @description Memory of its GPU in MiB, as it says.
             */
            vram_mib: number;
        };
        /** @description `ok` or `none_announced`. */
        ValidatorsState: components["schemas"]["Part"] & {
            announced: number;
            registered?: number | null;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
};
export type $defs = Record<string, never>;
export interface operations {
    health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description ok or degraded */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Health"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description down: chain or database have been away for 15 s */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Health"];
                };
            };
        };
    };
    live: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It answers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Probed"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    metrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Prometheus text format */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    ready: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Ready */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Probed"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description gateway_stopping, chain_unavailable, database_unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_cases: {
        parameters: {
            query?: {
                /** @description Id of the last case seen */
                after?: string;
                /** @description Who got the reward, else who opened it or proved the fault */
                challenger?: string;
                commitment?: string;
                job?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
                /** @description opening, joining, jury or resolved */
                status?: string;
                /** @description Whose result it is about */
                validator?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Cases */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Case"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_case: {
        parameters: {
            query?: {
                /** @description processed (default), confirmed or finalized */
                commitment?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The case; what is not known yet is null */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CaseDetails"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description case_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    create_chat_completion: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description OpenAI's chat completion request; what can't be honoured is refused by name */
        requestBody: {
            content: {
                "application/json": components["schemas"]["ChatBody"];
            };
        };
        responses: {
            /** @description With `stream` text/event-stream of ChatCompletionChunk, then `[DONE]` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChatCompletion"];
                };
            };
            /** @description invalid_request, invalid_json, unsupported_parameter, context_length_exceeded */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_api_key */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description insufficient_funds, spend_limit_exceeded, grant_not_usable */
            402: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description request_in_progress */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description answer_expired */
            410: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description idempotency_key_reused, grammar_limit */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description rate_limit_exceeded */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error, interrupted */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description validator_failed, chain_refused */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description no_validator, gateway_busy and others, with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_classes: {
        parameters: {
            query?: {
                /** @description Id of the last class seen */
                after?: string;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Classes */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Class"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    create_completion: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["CompletionBody"];
            };
        };
        responses: {
            /** @description With `stream` text/event-stream of TextCompletion, then `[DONE]` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TextCompletion"];
                };
            };
            /** @description invalid_request, invalid_json, unsupported_parameter, context_length_exceeded */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_api_key */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description insufficient_funds, spend_limit_exceeded, grant_not_usable */
            402: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description request_in_progress */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description answer_expired */
            410: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description idempotency_key_reused, grammar_limit */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description rate_limit_exceeded */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description validator_failed, chain_refused */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description no_validator, gateway_busy and others, with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_credit: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What is left, and where to pay */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Credit"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description rate_limit_exceeded */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    pay_in: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description Signed by the wallet */
        requestBody: {
            content: {
                "application/json": components["schemas"]["PayIn"];
            };
        };
        responses: {
            /** @description The transfer, and what is left */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Credit"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description payment_not_found; with Retry-After */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description payment_not_final; with Retry-After */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description payment_refused: it failed, is too old, too small, or not this wallet's to this operator */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description rate_limit_exceeded */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    estimate: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EstimateBody"];
            };
        };
        responses: {
            /** @description Tokens, estimated and ceiling cost in lamports and SOL, and `terms` for a client's own transaction */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Estimate"];
                };
            };
            /** @description invalid_request, invalid_json, unsupported_parameter, context_length_exceeded */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description rate_limit_exceeded */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description gateway_busy, chain_unavailable and others, with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    create_inference: {
        parameters: {
            query?: {
                /** @description false: make an open job and return it at once */
                wait?: boolean;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["InferenceBody"];
            };
        };
        responses: {
            /** @description The answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Inference"];
                };
            };
            /** @description The open job; `pending` until it is indexed */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobDetails"];
                };
            };
            /** @description invalid_request, invalid_json, unsupported_parameter, context_length_exceeded */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_api_key */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description insufficient_funds, spend_limit_exceeded, grant_not_usable */
            402: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description request_in_progress */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description idempotency_key_reused, grammar_limit */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description rate_limit_exceeded */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description validator_failed, chain_refused */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description no_validator, gateway_busy and others, with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_jobs: {
        parameters: {
            query?: {
                /** @description Id of the last job seen */
                after?: string;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
                model?: string;
                owner?: string;
                status?: string;
                validator?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Jobs */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Job"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_job: {
        parameters: {
            query?: {
                /** @description processed (default), confirmed or finalized */
                commitment?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The job; what is not known yet is null */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobDetails"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description job_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_evidence: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The evidence bundle */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Evidence"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description evidence_forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description job_not_found, evidence_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description too_many_checks, with Retry-After */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_receipt: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The receipt */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Receipt"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description job_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    bring_result: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        /** @description Signed by the operator */
        requestBody: {
            content: {
                "application/json": components["schemas"]["JobResult"];
            };
        };
        responses: {
            /** @description Kept */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ResultKept"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description not_the_operator */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description job_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description not_submitted, with Retry-After */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description result_mismatch */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_keys: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The keys */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiKeys"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    create_key: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description Signed by the wallet; may be empty */
        requestBody: {
            content: {
                "application/json": components["schemas"]["CreateKey"];
            };
        };
        responses: {
            /** @description The key, and the delegate that needs a spend grant from the wallet's vault */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ApiKey"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description insufficient_funds: the wallet holds nothing */
            402: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description too_many_keys, rate_limit_exceeded */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    revoke_key: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Revoked */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RevokedKey"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description key_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_leases: {
        parameters: {
            query?: {
                /** @description Id of the last lease seen */
                after?: string;
                /** @description Address or name */
                class?: string;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
                /** @description Its authority */
                provider?: string;
                /** @description accepted, started, active, closing or ended */
                status?: string;
                tenant?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Leases */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Lease"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_lease: {
        parameters: {
            query?: {
                /** @description processed (default), confirmed or finalized */
                commitment?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The lease; what is not known yet is null */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LeaseDetails"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description lease_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_lease_disputes: {
        parameters: {
            query?: {
                /** @description `number` of the last one seen */
                after?: number;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Disputes */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_LeaseDispute"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description lease_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_lease_epochs: {
        parameters: {
            query?: {
                /** @description `epoch` of the last one seen */
                after?: number;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Epochs */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_LeaseEpoch"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description lease_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_market: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Providers, units, requests, leases, epochs, disputes, lamports, slot */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Market"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_models: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Models */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Model"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_model: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The model */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Model"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_model_prices: {
        parameters: {
            query?: {
                /** @description `slot` of the last one seen */
                after?: number;
                /** @description 1 to 100, default 20 */
                limit?: number;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Prices */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_ModelPrice"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_network: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Validators, GPUs, capacity, jobs, cases, slashed, burned, staked, slot */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Network"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    announce_node: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Authority */
                validator: string;
            };
            cookie?: never;
        };
        /** @description Signed by the operator */
        requestBody: {
            content: {
                "application/json": components["schemas"]["Announcement"];
            };
        };
        responses: {
            /** @description Noted */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AnnouncementNoted"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description not_the_operator */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description validator_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_prompt: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description 64 hex digits */
                prompt_hash: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Token ids, salt, stop strings */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PromptBody"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description not_the_operator */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description prompt_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_providers: {
        parameters: {
            query?: {
                /** @description Id of the last provider seen */
                after?: string;
                /** @description Address or name */
                class?: string;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Providers */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Provider"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_provider: {
        parameters: {
            query?: {
                /** @description processed (default), confirmed or finalized */
                commitment?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The provider */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Provider"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description provider_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_lease_requests: {
        parameters: {
            query?: {
                /** @description Id of the last request seen */
                after?: string;
                /** @description Address or name */
                class?: string;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
                /** @description Authority of the one that may accept it */
                provider?: string;
                /** @description open, accepted, cancelled or expired */
                status?: string;
                tenant?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Requests */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_LeaseRequest"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_lease_request: {
        parameters: {
            query?: {
                /** @description processed (default), confirmed or finalized */
                commitment?: string;
            };
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The request */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LeaseRequest"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description request_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    create_response: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ResponseBody"];
            };
        };
        responses: {
            /** @description With `stream` text/event-stream of OpenAI's events, from `response.created` to `response.completed` or `response.incomplete` */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ModelResponse"];
                };
            };
            /** @description invalid_request, invalid_json, unsupported_parameter, context_length_exceeded */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_api_key */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description insufficient_funds, spend_limit_exceeded, grant_not_usable */
            402: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_timeout */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description request_in_progress */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description answer_expired */
            410: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description body_too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unsupported_media_type, unsupported_content_encoding */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description idempotency_key_reused, grammar_limit */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description rate_limit_exceeded */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description validator_failed, chain_refused */
            502: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description no_validator, gateway_busy and others, with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_statistic: {
        parameters: {
            query?: {
                /** @description `cursor` of the last row seen */
                after?: string;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
            };
            header?: never;
            path: {
                /** @description daily, burns, settlements, slashes, fingerprints, burned or market */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Rows of the statistic, newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Statistics"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description unknown_statistic */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    follow_events: {
        parameters: {
            query?: {
                /** @description Everything after this number; also Last-Event-ID */
                after?: number;
                entity?: string;
                /** @description This job and its case */
                job?: string;
                /** @description This lease and the disputes about it */
                lease?: string;
                model?: string;
                owner?: string;
                /** @description Its authority */
                provider?: string;
                /** @description This request of capacity and its lease */
                request?: string;
                tenant?: string;
                /** @description jobs, results, disputes, validators, settlements, leases, network; all if absent */
                topics?: string;
                validator?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `data` of each event */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": components["schemas"]["FeedEvent"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description feed_expired */
            410: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description too_many_subscribers */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    list_validators: {
        parameters: {
            query?: {
                /** @description Id of the last validator seen */
                after?: string;
                commitment?: string;
                /** @description 1 to 100, default 20 */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Validators */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page_Validator"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    show_validator: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The validator */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Validator"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description validator_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
    follow_websocket: {
        parameters: {
            query?: {
                after?: number;
                entity?: string;
                job?: string;
                /** @description This lease and the disputes about it */
                lease?: string;
                model?: string;
                owner?: string;
                /** @description Its authority */
                provider?: string;
                /** @description This request of capacity and its lease */
                request?: string;
                tenant?: string;
                topics?: string;
                validator?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description WebSocket; each message is a FeedEvent */
            101: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description invalid_signature */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description model_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description feed_expired */
            410: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description websocket_expected */
            426: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description too_many_subscribers */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description internal_error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
            /** @description database_unavailable, index_unavailable, chain_unavailable, gateway_stopping; with Retry-After */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ErrorBody"];
                };
            };
        };
    };
}
