// Made from programs/idl by `npm run generate`; do not edit.
import type { Program } from "../decode/program";

export const PROGRAMS: readonly Program[] = [
 {
  "title": "AI Precompiles",
  "address": "MythicAiPrecompi1es111111111111111111111111",
  "instructions": [
   {
    "tag": 1,
    "name": "initialize",
    "about": "Creates config and treasury. Once, by the program's upgrade authority.",
    "fields": [
     [
      "admin",
      "key",
      "Key that sets parameters."
     ],
     [
      "foundation",
      "key",
      "Address that receives the foundation's share."
     ],
     [
      "params",
      "{params}",
      "All parameters."
     ]
    ],
    "accounts": [
     "payer",
     "upgradeAuthority",
     "programData",
     "config",
     "treasury",
     "systemProgram"
    ]
   },
   {
    "tag": 2,
    "name": "updateConfig",
    "about": "Sets all parameters and the foundation's address. Running jobs keep theirs.",
    "fields": [
     [
      "foundation",
      "key",
      "Address that receives the foundation's share."
     ],
     [
      "params",
      "{params}",
      "All parameters."
     ]
    ],
    "accounts": [
     "admin",
     "config"
    ]
   },
   {
    "tag": 3,
    "name": "proposeAdmin",
    "about": "Names who may take over as admin.",
    "fields": [
     [
      "newAdmin",
      "key",
      "The next admin; zero takes a proposal back."
     ]
    ],
    "accounts": [
     "admin",
     "config"
    ]
   },
   {
    "tag": 4,
    "name": "acceptAdmin",
    "about": "Takes over as admin.",
    "fields": [],
    "accounts": [
     "newAdmin",
     "config"
    ]
   },
   {
    "tag": 5,
    "name": "pause",
    "about": "Stops new jobs, and nothing else.",
    "fields": [],
    "accounts": [
     "admin",
     "config"
    ]
   },
   {
    "tag": 6,
    "name": "unpause",
    "about": "Takes jobs again.",
    "fields": [],
    "accounts": [
     "admin",
     "config"
    ]
   },
   {
    "tag": 7,
    "name": "sweep",
    "about": "Moves what a validator owes to the treasury and the incinerator. Anyone.",
    "fields": [],
    "accounts": [
     "validator",
     "treasury",
     "incinerator"
    ]
   },
   {
    "tag": 8,
    "name": "withdrawFoundation",
    "about": "Pays the treasury's balance to the foundation's address. Anyone.",
    "fields": [],
    "accounts": [
     "config",
     "treasury",
     "foundation"
    ]
   },
   {
    "tag": 16,
    "name": "registerModel",
    "about": "Registers a model and burns the registration fee. Prices start at the config's defaults.",
    "fields": [
     [
      "spec",
      "{modelSpec}",
      "What never changes."
     ],
     [
      "name",
      "text:49",
      "Name."
     ]
    ],
    "accounts": [
     "payer",
     "registrant",
     "config",
     "model",
     "incinerator",
     "systemProgram"
    ]
   },
   {
    "tag": 17,
    "name": "updateModel",
    "about": "Changes prices, name and retirement.",
    "fields": [
     [
      "priceIn",
      "u32",
      "Lamports per 1,000 prompt tokens."
     ],
     [
      "priceOut",
      "u32",
      "Lamports per 1,000 output tokens."
     ],
     [
      "name",
      "text:49",
      "Name."
     ],
     [
      "retired",
      "u8",
      "1 = no new jobs, 0 = jobs."
     ]
    ],
    "accounts": [
     "registrant",
     "model"
    ]
   },
   {
    "tag": 18,
    "name": "proposeRegistrant",
    "about": "Names who may take over a model from its registrant.",
    "fields": [
     [
      "newRegistrant",
      "key",
      "The next registrant; zero takes a proposal back."
     ]
    ],
    "accounts": [
     "registrant",
     "model"
    ]
   },
   {
    "tag": 19,
    "name": "acceptRegistrant",
    "about": "Takes over a model.",
    "fields": [],
    "accounts": [
     "newRegistrant",
     "model"
    ]
   },
   {
    "tag": 24,
    "name": "registerValidator",
    "about": "Registers a validator with stake, which is active at once. The models it serves follow as accounts.",
    "fields": [
     [
      "operator",
      "key",
      "Hot key."
     ],
     [
      "stake",
      "u64",
      "Lamports of stake, from the payer."
     ],
     [
      "vramMib",
      "u32",
      "GPU memory, MiB; 0 = CPU only."
     ],
     [
      "gpuName",
      "text:49",
      "Name of the GPU; empty = CPU only."
     ],
     [
      "endpoint",
      "text:97",
      "URL at which gateways reach the node."
     ]
    ],
    "accounts": [
     "payer",
     "authority",
     "config",
     "validator",
     "systemProgram"
    ]
   },
   {
    "tag": 25,
    "name": "updateValidator",
    "about": "Replaces a validator's operator, endpoint, GPU and models. The models it serves follow as accounts; those it served before keep their slot.",
    "fields": [
     [
      "operator",
      "key",
      "Hot key."
     ],
     [
      "vramMib",
      "u32",
      "GPU memory, MiB; 0 = CPU only."
     ],
     [
      "gpuName",
      "text:49",
      "Name of the GPU; empty = CPU only."
     ],
     [
      "endpoint",
      "text:97",
      "URL at which gateways reach the node."
     ]
    ],
    "accounts": [
     "owner",
     "validator"
    ]
   },
   {
    "tag": 26,
    "name": "addStake",
    "about": "Adds stake, which counts after the unbonding time or the maturity, whichever is longer; stake that is activating already waits with it.",
    "fields": [
     [
      "amount",
      "u64",
      "Lamports, from the payer."
     ]
    ],
    "accounts": [
     "payer",
     "owner",
     "config",
     "validator",
     "systemProgram"
    ]
   },
   {
    "tag": 27,
    "name": "requestUnstake",
    "about": "Takes stake out of the active one; stake that is unbonding already waits with it.",
    "fields": [
     [
      "amount",
      "u64",
      "Lamports; what stays must be the minimum stake or nothing."
     ]
    ],
    "accounts": [
     "owner",
     "config",
     "validator"
    ]
   },
   {
    "tag": 28,
    "name": "withdrawStake",
    "about": "Pays out unbonded stake, once nothing that the validator accepted or judged can ask for it.",
    "fields": [],
    "accounts": [
     "owner",
     "validator"
    ]
   },
   {
    "tag": 29,
    "name": "withdrawClaimable",
    "about": "Pays what was earned to the owner. Signed by owner or operator.",
    "fields": [],
    "accounts": [
     "signer",
     "validator",
     "owner"
    ]
   },
   {
    "tag": 30,
    "name": "unjail",
    "about": "Ends a jail time that is over. Signed by owner or operator.",
    "fields": [],
    "accounts": [
     "signer",
     "config",
     "validator"
    ]
   },
   {
    "tag": 31,
    "name": "closeValidator",
    "about": "Closes a validator that holds nothing and is not in jail.",
    "fields": [],
    "accounts": [
     "owner",
     "validator",
     "rentPayer"
    ]
   },
   {
    "tag": 32,
    "name": "proposeOwner",
    "about": "Names who may take over a validator from its owner.",
    "fields": [
     [
      "newOwner",
      "key",
      "The next owner; zero takes a proposal back."
     ]
    ],
    "accounts": [
     "owner",
     "validator"
    ]
   },
   {
    "tag": 33,
    "name": "acceptOwner",
    "about": "Takes over a validator: stake, earnings and settings. Its name stays.",
    "fields": [],
    "accounts": [
     "newOwner",
     "validator"
    ]
   },
   {
    "tag": 40,
    "name": "depositVault",
    "about": "Pays into a vault, which is created if need be. Anyone may pay for anyone.",
    "fields": [
     [
      "amount",
      "u64",
      "Lamports, from the payer."
     ]
    ],
    "accounts": [
     "payer",
     "owner",
     "vault",
     "systemProgram"
    ]
   },
   {
    "tag": 41,
    "name": "withdrawVault",
    "about": "Pays out of a vault to its owner.",
    "fields": [
     [
      "amount",
      "u64",
      "Lamports."
     ]
    ],
    "accounts": [
     "owner",
     "vault"
    ]
   },
   {
    "tag": 42,
    "name": "closeVault",
    "about": "Closes a vault without open jobs; the balance goes to the owner.",
    "fields": [],
    "accounts": [
     "owner",
     "vault",
     "rentPayer"
    ]
   },
   {
    "tag": 43,
    "name": "grantSpend",
    "about": "Lets a delegate spend within limits, or changes the limits; what was spent stays counted. Revives a revoked grant.",
    "fields": [
     [
      "spent",
      "u64",
      "Lamports spent and held ever, as the grant's account says; 0 where there is none."
     ],
     [
      "perJobMax",
      "u64",
      "Most lamports of one job."
     ],
     [
      "windowMax",
      "u64",
      "Most lamports in one window."
     ],
     [
      "windowSlots",
      "u32",
      "Length of a window, slots."
     ],
     [
      "lifetimeCap",
      "u64",
      "Most lamports ever."
     ],
     [
      "expirySlot",
      "u64",
      "Slot from which the grant is void."
     ],
     [
      "modelCount",
      "u8",
      "Used part of `models`; 0 = every model."
     ],
     [
      "models",
      "[key;4]",
      "Addresses of models that may be used; the rest zero."
     ]
    ],
    "accounts": [
     "payer",
     "owner",
     "delegate",
     "grant",
     "systemProgram"
    ]
   },
   {
    "tag": 44,
    "name": "revokeGrant",
    "about": "Ends a grant; its running jobs go on.",
    "fields": [],
    "accounts": [
     "owner",
     "grant"
    ]
   },
   {
    "tag": 45,
    "name": "closeGrant",
    "about": "Closes a grant that is revoked or expired and has no open jobs. Its owner; from `close_delay_slots` after its expiry on, anyone.",
    "fields": [],
    "accounts": [
     "owner?",
     "config",
     "grant",
     "rentPayer"
    ]
   },
   {
    "tag": 56,
    "name": "requestInference",
    "about": "Requests a job and pays its ceiling into it. With a validator and its operator's signature it is accepted at once, without it is open.",
    "fields": [
     [
      "nonce",
      "bytes:16",
      "Expiry slot (8 bytes, little-endian) and 8 bytes that tell attempts apart."
     ],
     [
      "canceller",
      "key",
      "Who may cancel beside owner and requester; zero = nobody."
     ],
     [
      "promptHash",
      "bytes:32",
      "`prompt_hash`."
     ],
     [
      "promptTokens",
      "u32",
      "Tokens of the prompt."
     ],
     [
      "maxOutputTokens",
      "u32",
      "Most tokens of the output."
     ],
     [
      "priceIn",
      "u32",
      "Lamports per 1,000 prompt tokens; must be the model's."
     ],
     [
      "priceOut",
      "u32",
      "Lamports per 1,000 output tokens; must be the model's."
     ],
     [
      "userSeed",
      "bytes:32",
      "The requester's seed."
     ],
     [
      "temperatureMilli",
      "u16",
      "Temperature in thousandths."
     ],
     [
      "samplingProfile",
      "u8",
      "`SamplingProfile`."
     ],
     [
      "optionsHash",
      "bytes:32",
      "Sampling profile 1: `stop_hash`; 2: `options_hash`; zero = no stop strings and no options."
     ],
     [
      "promptSource",
      "text:97",
      "Base URL of the gateway that holds the prompt."
     ],
     [
      "deadlineSlots",
      "u32",
      "Slots from the request to the deadline."
     ],
     [
      "rulesHash",
      "bytes:32",
      "`Rules::hash` of the network's rules; must be those in force."
     ],
     [
      "bump",
      "u8",
      "Bump of the job's address. Clients give the canonical one."
     ]
    ],
    "accounts": [
     "payer",
     "requester",
     "config",
     "model",
     "vault",
     "grant?",
     "job",
     "validator?",
     "operator?",
     "systemProgram"
    ]
   },
   {
    "tag": 57,
    "name": "acceptInference",
    "about": "Takes an open job.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "Terms that are accepted; another fork may have others at this address."
     ]
    ],
    "accounts": [
     "operator",
     "validator",
     "job"
    ]
   },
   {
    "tag": 58,
    "name": "declineJob",
    "about": "Gives an accepted job up, in time; it is refunded.",
    "fields": [],
    "accounts": [
     "operator",
     "validator",
     "job",
     "vault",
     "grant?"
    ]
   },
   {
    "tag": 59,
    "name": "cancelJob",
    "about": "Cancels a job: refunds an open one, records the cancel of an accepted one.",
    "fields": [],
    "accounts": [
     "canceller",
     "job",
     "vault",
     "grant?"
    ]
   },
   {
    "tag": 60,
    "name": "expireJob",
    "about": "Refunds a job that has no result in time. Anyone.",
    "fields": [],
    "accounts": [
     "job",
     "vault",
     "validator?",
     "grant?"
    ]
   },
   {
    "tag": 61,
    "name": "submitResult",
    "about": "Commits to a result.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "Terms under which the work was done."
     ],
     [
      "outputRoot",
      "bytes:32",
      "`output_root`."
     ],
     [
      "fingerprint",
      "bytes:32",
      "`fingerprint`."
     ],
     [
      "outputTokens",
      "u32",
      "Tokens of the output."
     ],
     [
      "finishReason",
      "u8",
      "`FinishReason`."
     ]
    ],
    "accounts": [
     "operator",
     "validator",
     "job"
    ]
   },
   {
    "tag": 62,
    "name": "claimInferenceFee",
    "about": "Settles an unchallenged result after its window. Anyone.",
    "fields": [],
    "accounts": [
     "job",
     "validator",
     "vault",
     "grant?"
    ]
   },
   {
    "tag": 63,
    "name": "closeJob",
    "about": "Closes a job that ended long enough ago; the rent goes to who paid it. Anyone.",
    "fields": [],
    "accounts": [
     "job",
     "rentPayer"
    ]
   },
   {
    "tag": 72,
    "name": "verifyLogits",
    "about": "Claims that a result is withheld or false, and pays the bond. The first claim opens the job's case: it draws the sample, and pays the rent of the case and of the output that will be posted. Later ones join it. The first that says `false` pays the rent of the jury's votes.",
    "fields": [
     [
      "submittedSlot",
      "u64",
      "Slot of the result that is meant."
     ],
     [
      "fingerprint",
      "bytes:32",
      "Its fingerprint."
     ],
     [
      "kind",
      "u8",
      "`ClaimKind`."
     ],
     [
      "bond",
      "u64",
      "Most lamports of bond that the claimant pays."
     ],
     [
      "positionCount",
      "u8",
      "Used part of `positions`."
     ],
     [
      "positions",
      "[u32;2]",
      "Positions to check beside the sampled ones, ascending; the rest zero. Only with `false`, in an exact profile."
     ]
    ],
    "accounts": [
     "payer",
     "operator",
     "claimant",
     "job",
     "submitter",
     "model",
     "served?",
     "case",
     "votes?",
     "systemProgram"
    ]
   },
   {
    "tag": 73,
    "name": "postOutput",
    "about": "Posts a chunk of the output; one that is there already changes nothing. The first chunk of a page creates it, from what the opener prepaid. Anyone.",
    "fields": [
     [
      "submittedSlot",
      "u64",
      "Slot of the result."
     ],
     [
      "chunk",
      "u32",
      "Index of the chunk. Its path leads to the output root, which is the result's alone."
     ],
     [
      "tail",
      "rest",
      "Behind the arguments: the chunk's token ids, 4 bytes each, and its path in the output tree."
     ]
    ],
    "accounts": [
     "payer",
     "case",
     "job",
     "firstPage",
     "page?",
     "systemProgram"
    ]
   },
   {
    "tag": 74,
    "name": "postOpenings",
    "about": "Shows leaves of checked positions, once the output is posted; those that are there already change nothing. The page holds their tokens. Once output, sample and the opener's positions are shown, others join. Anyone.",
    "fields": [
     [
      "submittedSlot",
      "u64",
      "Slot of the result."
     ],
     [
      "fingerprint",
      "bytes:32",
      "Its fingerprint."
     ],
     [
      "tail",
      "rest",
      "Behind the arguments: one or more leaves, each 40 bytes of content and its path in the fingerprint's tree."
     ]
    ],
    "accounts": [
     "case",
     "job",
     "firstPage",
     "page?"
    ]
   },
   {
    "tag": 75,
    "name": "commitJuror",
    "about": "Commits to a vote and takes the seats for which the validator ranks highest so far. `served` is the registration of the job's file that it serves, if it is another than the job's.",
    "fields": [
     [
      "submittedSlot",
      "u64",
      "Slot of the result."
     ],
     [
      "fingerprint",
      "bytes:32",
      "Its fingerprint."
     ],
     [
      "positionsHash",
      "bytes:32",
      "`Case::positions_hash` of what is judged."
     ],
     [
      "commitment",
      "bytes:32",
      "`juror_commitment`."
     ]
    ],
    "accounts": [
     "operator",
     "validator",
     "case",
     "served?"
    ]
   },
   {
    "tag": 76,
    "name": "revealJuror",
    "about": "Shows the vote behind a commitment.",
    "fields": [
     [
      "submittedSlot",
      "u64",
      "Slot of the result."
     ],
     [
      "fingerprint",
      "bytes:32",
      "Its fingerprint."
     ],
     [
      "salt",
      "bytes:32",
      "Salt of the commitment."
     ],
     [
      "tail",
      "rest",
      "Behind the arguments: the vote: in an exact profile digests of work, sample and each group, else 5 logits of 4 bytes for each sampled position."
     ]
    ],
    "accounts": [
     "operator",
     "validator",
     "case",
     "votes"
    ]
   },
   {
    "tag": 77,
    "name": "proveFault",
    "about": "Proves with one leaf that a result breaks the rules. Case and job are decided at once, without a case too, which it creates; but once everything is shown and somebody says `false`, the fault is noted, and shown wherever a claim names it, and the jury goes on. The page of posted output is needed where the leaf's token differs from it.",
    "fields": [
     [
      "submittedSlot",
      "u64",
      "Slot of the result."
     ],
     [
      "fingerprint",
      "bytes:32",
      "Its fingerprint."
     ],
     [
      "leaf",
      "bytes:40",
      "Content of the leaf."
     ],
     [
      "tail",
      "rest",
      "Behind the arguments: the leaf's path in the fingerprint's tree."
     ]
    ],
    "accounts": [
     "payer",
     "operator",
     "prover",
     "job",
     "submitter",
     "vault",
     "grant?",
     "model",
     "page?",
     "case",
     "systemProgram"
    ]
   },
   {
    "tag": 78,
    "name": "resolveCase",
    "about": "Decides a case that is due, and with it the job. The votes are needed where a jury has committed. Anyone.",
    "fields": [],
    "accounts": [
     "case",
     "job",
     "submitter",
     "vault",
     "grant?",
     "votes?"
    ]
   },
   {
    "tag": 79,
    "name": "collectCase",
    "about": "Moves what a resolved case owes a validator to its account, as claimant, juror or prover, and takes what it lost as a juror. What is due to a validator that was closed is burned, and only then the incinerator is needed. Anyone.",
    "fields": [
     [
      "authority",
      "key",
      "Authority of the validator."
     ]
    ],
    "accounts": [
     "case",
     "validator",
     "incinerator?"
    ]
   },
   {
    "tag": 80,
    "name": "closeCase",
    "about": "Closes a case that was resolved long enough ago and owes nothing, and its votes; after a second delay, fines that nobody collected lapse. Anyone.",
    "fields": [],
    "accounts": [
     "case",
     "rentPayer",
     "votes?",
     "votesRentPayer?"
    ]
   },
   {
    "tag": 81,
    "name": "closeOutput",
    "about": "Closes a page of output whose job ended long enough ago. Anyone.",
    "fields": [],
    "accounts": [
     "page",
     "job",
     "rentPayer"
    ]
   }
  ],
  "structures": {
   "params": [
    [
     "rules",
     "{rules}",
     "What each job keeps a copy of."
    ],
    [
     "maxJobSlots",
     "u32",
     "Longest time from request to deadline, slots."
    ],
    [
     "maxNonceLifeSlots",
     "u32",
     "Longest life of a job's nonce, slots."
    ],
    [
     "unbondingSlots",
     "u32",
     "Slots until unstaked lamports can be withdrawn; added stake counts after these or the maturity, whichever is longer."
    ],
    [
     "registrationFee",
     "u64",
     "Lamports burned at the registration of a model."
    ],
    [
     "defaultPriceIn",
     "u32",
     "Lamports per 1,000 prompt tokens that a new model starts with."
    ],
    [
     "defaultPriceOut",
     "u32",
     "Lamports per 1,000 output tokens that a new model starts with."
    ]
   ],
   "rules": [
    [
     "windowSlots",
     "u32",
     "Slots after a result in which a case can be opened, and after its answer in which others join it."
    ],
    [
     "openingsSlots",
     "u32",
     "Slots after the opening of a case, and after the end of joining, in which leaves and output must be posted; a slot more for every four chunks of output."
    ],
    [
     "revealSlots",
     "u32",
     "Slots after the commits of a jury in which it reveals."
    ],
    [
     "cancelGraceSlots",
     "u32",
     "Slots after a cancel in which the validator may still submit what it has, beside those in which it reads the prompt; slots after acceptance in which it declines for nothing."
    ],
    [
     "prefillTokensPerSlot",
     "u32",
     "Prompt tokens that a validator is expected to read in a slot."
    ],
    [
     "jailSlots",
     "u32",
     "Slots for which a punished validator is jailed; at most the unbonding time, so that nobody leaves and comes back instead."
    ],
    [
     "closeDelaySlots",
     "u32",
     "Slots that a terminal account stays before it can be closed."
    ],
    [
     "maturitySlots",
     "u32",
     "Slots for which a validator was registered and served the model before the request, to claim against the result or judge it."
    ],
    [
     "validatorBps",
     "u16",
     "Validator's share of a fee, basis points."
    ],
    [
     "foundationBps",
     "u16",
     "Foundation's share of a fee, basis points; the rest is burned."
    ],
    [
     "slashBps",
     "u16",
     "Share of a guilty submitter's stake that is slashed, basis points."
    ],
    [
     "bondBps",
     "u16",
     "Part of a bond at stake, basis points of the slash: so much for the first that says `false`, twice for the second, and on."
    ],
    [
     "jurySeats",
     "u16",
     "Seats of a jury."
    ],
    [
     "exposureBps",
     "u16",
     "Ceilings of a validator's open jobs together, basis points of its active stake; one job's at most half of it."
    ],
    [
     "juryStake",
     "u64",
     "Least active stake of a juror, lamports."
    ],
    [
     "jurorTariff",
     "u64",
     "Pay of a juror, lamports, whatever seats it has and whatever the verdict."
    ],
    [
     "tariffCap",
     "u64",
     "Most lamports of the job's fee that a juror gets beside it where the jury decides."
    ],
    [
     "jurorPenalty",
     "u64",
     "Lamports that a juror loses for each seat by silence or by a vote against a decided group."
    ],
    [
     "answeringFee",
     "u64",
     "Lamports for each transaction in which a submitter had to show something: a chunk of output, or leaves."
    ],
    [
     "stakePerJob",
     "u64",
     "Lamports of active stake that each open job takes up."
    ],
    [
     "minStake",
     "u64",
     "Least active stake of a validator that takes jobs, lamports."
    ],
    [
     "noShow",
     "u64",
     "Lamports that a validator loses which took an open job and stayed silent."
    ]
   ],
   "modelSpec": [
    [
     "weightsHash",
     "bytes:32",
     "SHA-256 of the weights' file."
    ],
    [
     "tokenizerHash",
     "bytes:32",
     "SHA-256 of the tokenizer, as the engine canonicalises it."
    ],
    [
     "chatTemplateHash",
     "bytes:32",
     "SHA-256 of the chat template's UTF-8."
    ],
    [
     "quantisation",
     "u16",
     "The weights' quantisation: GGUF's `general.file_type`."
    ],
    [
     "kernelProfile",
     "u16",
     "`KernelProfile`."
    ],
    [
     "contextLength",
     "u32",
     "Longest context, tokens."
    ],
    [
     "maxJobTokens",
     "u32",
     "Most prompt and output tokens of a job together."
    ],
    [
     "errorPpm",
     "u32",
     "Threshold τ₁ of the relative error, parts per million; 0 with `miss_ppm` 0 = no jury."
    ],
    [
     "missPpm",
     "u32",
     "Threshold τ₃ of the share of missed fourth places, parts per million."
    ],
    [
     "commitSlots",
     "u16",
     "Slots in which jurors commit."
    ],
    [
     "minVramMib",
     "u32",
     "Least GPU memory, MiB; 0 = runs on a CPU."
    ],
    [
     "eosCount",
     "u8",
     "Used part of `eos_ids`."
    ],
    [
     "eosIds",
     "[u32;8]",
     "End-of-sequence token ids, ascending; the rest zero."
    ]
   ]
  }
 },
 {
  "title": "Compute Market",
  "address": "MythicComputeMarket111111111111111111111111",
  "instructions": [
   {
    "tag": 1,
    "name": "initialize",
    "about": "Creates config and treasury. Once, by the program's upgrade authority.",
    "fields": [
     [
      "admin",
      "key",
      "Key that sets parameters and registers classes."
     ],
     [
      "foundation",
      "key",
      "Address that receives the foundation's share."
     ],
     [
      "grid",
      "{grid}",
      "The grid of epochs, for ever."
     ],
     [
      "params",
      "{marketParams}",
      "All parameters."
     ]
    ],
    "accounts": [
     "payer",
     "upgradeAuthority",
     "programData",
     "config",
     "treasury",
     "systemProgram"
    ]
   },
   {
    "tag": 2,
    "name": "updateConfig",
    "about": "Sets all parameters and the foundation's address. What was requested keeps its own.",
    "fields": [
     [
      "foundation",
      "key",
      "Address that receives the foundation's share."
     ],
     [
      "params",
      "{marketParams}",
      "All parameters."
     ]
    ],
    "accounts": [
     "admin",
     "config"
    ]
   },
   {
    "tag": 3,
    "name": "proposeAdmin",
    "about": "Names who may take over as admin.",
    "fields": [
     [
      "newAdmin",
      "key",
      "The next admin; zero takes a proposal back."
     ]
    ],
    "accounts": [
     "admin",
     "config"
    ]
   },
   {
    "tag": 4,
    "name": "acceptAdmin",
    "about": "Takes over as admin.",
    "fields": [],
    "accounts": [
     "newAdmin",
     "config"
    ]
   },
   {
    "tag": 5,
    "name": "pause",
    "about": "Stops new requests, and nothing else.",
    "fields": [],
    "accounts": [
     "admin",
     "config"
    ]
   },
   {
    "tag": 6,
    "name": "unpause",
    "about": "Takes requests again.",
    "fields": [],
    "accounts": [
     "admin",
     "config"
    ]
   },
   {
    "tag": 7,
    "name": "sweep",
    "about": "Moves what a provider owes to the treasury and the incinerator. Anyone.",
    "fields": [],
    "accounts": [
     "provider",
     "treasury",
     "incinerator"
    ]
   },
   {
    "tag": 8,
    "name": "withdrawFoundation",
    "about": "Pays the treasury's balance to the foundation's address. Anyone.",
    "fields": [],
    "accounts": [
     "config",
     "treasury",
     "foundation"
    ]
   },
   {
    "tag": 16,
    "name": "registerClass",
    "about": "Registers a class, for ever.",
    "fields": [
     [
      "name",
      "text:16",
      "Name, which its address is made of."
     ],
     [
      "probe",
      "{probe}",
      "What each unit proves."
     ],
     [
      "vramMib",
      "u32",
      "GPU memory of a unit, MiB; 0 = CPU only."
     ],
     [
      "calibrated",
      "u8",
      "1 if the probe's time was measured on the device that the class is named after."
     ]
    ],
    "accounts": [
     "payer",
     "admin",
     "config",
     "class",
     "systemProgram"
    ]
   },
   {
    "tag": 17,
    "name": "retireClass",
    "about": "Retires a class: no new providers, no new requests.",
    "fields": [],
    "accounts": [
     "admin",
     "config",
     "class"
    ]
   },
   {
    "tag": 24,
    "name": "registerProvider",
    "about": "Registers a provider of a class with stake, which is active at once.",
    "fields": [
     [
      "operator",
      "key",
      "Hot key."
     ],
     [
      "stake",
      "u64",
      "Lamports of stake, from the payer."
     ],
     [
      "units",
      "u16",
      "Units that it offers."
     ],
     [
      "price",
      "u64",
      "Lamports a second for each unit."
     ],
     [
      "region",
      "text:16",
      "Where it is."
     ],
     [
      "isolation",
      "u8",
      "`Isolation`."
     ],
     [
      "endpoint",
      "text:97",
      "URL at which tenants reach it."
     ]
    ],
    "accounts": [
     "payer",
     "authority",
     "config",
     "class",
     "provider",
     "systemProgram"
    ]
   },
   {
    "tag": 25,
    "name": "updateProvider",
    "about": "Replaces what a provider says of itself; leases keep their price.",
    "fields": [
     [
      "operator",
      "key",
      "Hot key."
     ],
     [
      "units",
      "u16",
      "Units that it offers; at least those that are leased."
     ],
     [
      "price",
      "u64",
      "Lamports a second for each unit."
     ],
     [
      "region",
      "text:16",
      "Where it is."
     ],
     [
      "isolation",
      "u8",
      "`Isolation`."
     ],
     [
      "endpoint",
      "text:97",
      "URL at which tenants reach it."
     ]
    ],
    "accounts": [
     "authority",
     "provider"
    ]
   },
   {
    "tag": 26,
    "name": "addStake",
    "about": "Adds stake, which counts after the unbonding time; stake that is activating already waits with it.",
    "fields": [
     [
      "amount",
      "u64",
      "Lamports, from the payer."
     ]
    ],
    "accounts": [
     "payer",
     "authority",
     "config",
     "provider",
     "systemProgram"
    ]
   },
   {
    "tag": 27,
    "name": "requestUnstake",
    "about": "Takes stake out of the active one; stake that is unbonding already waits with it. What stays covers the units that it backs.",
    "fields": [
     [
      "amount",
      "u64",
      "Lamports; what stays must be the minimum stake or nothing."
     ]
    ],
    "accounts": [
     "authority",
     "config",
     "provider"
    ]
   },
   {
    "tag": 28,
    "name": "withdrawStake",
    "about": "Pays out unbonded stake, once no proof can ask for it.",
    "fields": [],
    "accounts": [
     "authority",
     "provider"
    ]
   },
   {
    "tag": 29,
    "name": "withdrawClaimable",
    "about": "Pays what was earned to the authority. Signed by authority or operator.",
    "fields": [],
    "accounts": [
     "signer",
     "provider",
     "authority"
    ]
   },
   {
    "tag": 30,
    "name": "unjail",
    "about": "Ends a jail time that is over. Signed by authority or operator.",
    "fields": [],
    "accounts": [
     "signer",
     "config",
     "provider"
    ]
   },
   {
    "tag": 31,
    "name": "closeProvider",
    "about": "Closes a provider that holds nothing, has no leases and is not in jail.",
    "fields": [],
    "accounts": [
     "authority",
     "provider",
     "rentPayer"
    ]
   },
   {
    "tag": 40,
    "name": "requestCompute",
    "about": "Asks for capacity and pays the price of all its seconds into the request.",
    "fields": [
     [
      "nonce",
      "bytes:16",
      "Expiry slot (8 bytes, little-endian) and 8 bytes that tell requests apart."
     ],
     [
      "kind",
      "u8",
      "`LeaseKind`."
     ],
     [
      "specHash",
      "bytes:32",
      "`spec_hash`."
     ],
     [
      "specSource",
      "text:97",
      "URL at which the spec is found."
     ],
     [
      "model",
      "key",
      "Address of the model of an endpoint; zero for a container."
     ],
     [
      "units",
      "u8",
      "Units, 1 to 8."
     ],
     [
      "region",
      "text:16",
      "Where the provider must be; empty = anywhere."
     ],
     [
      "isolation",
      "u8",
      "Least `Isolation`."
     ],
     [
      "provider",
      "key",
      "Authority of the provider that may accept; zero = any."
     ],
     [
      "price",
      "u64",
      "Most lamports a second for each unit; of a named provider exactly its price."
     ],
     [
      "seconds",
      "u32",
      "Seconds."
     ],
     [
      "deadlineSlots",
      "u32",
      "Slots from the request to the deadline of its acceptance."
     ],
     [
      "rulesHash",
      "bytes:32",
      "`MarketRules::hash` of the market's rules; must be those in force."
     ],
     [
      "bump",
      "u8",
      "Bump of the request's address. Clients give the canonical one."
     ]
    ],
    "accounts": [
     "payer",
     "tenant",
     "config",
     "class",
     "request",
     "systemProgram"
    ]
   },
   {
    "tag": 41,
    "name": "cancelRequest",
    "about": "Takes back a request that nobody has accepted; the tenant is refunded.",
    "fields": [],
    "accounts": [
     "tenant",
     "request"
    ]
   },
   {
    "tag": 42,
    "name": "expireRequest",
    "about": "Ends a request that nobody has accepted in time; the tenant is refunded. Anyone.",
    "fields": [],
    "accounts": [
     "request",
     "tenant"
    ]
   },
   {
    "tag": 43,
    "name": "closeRequest",
    "about": "Closes a request whose nonce has expired and whose lease has no account; the rent goes to who paid it, and with it a refund that the tenant's wallet was too empty to hold. Anyone.",
    "fields": [],
    "accounts": [
     "request",
     "lease",
     "rentPayer"
    ]
   },
   {
    "tag": 56,
    "name": "acceptJob",
    "about": "Takes a request: the lease begins, with the price of its seconds. By the provider's operator, who pays the rent.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "`RequestTerms::hash` of the request."
     ]
    ],
    "accounts": [
     "operator",
     "provider",
     "class",
     "request",
     "lease",
     "systemProgram"
    ]
   },
   {
    "tag": 57,
    "name": "startLease",
    "about": "Says that the lease runs and how the tenant reaches it; its meter starts.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "`LeaseTerms::hash` of the lease."
     ],
     [
      "accessHash",
      "bytes:32",
      "`access_hash`."
     ]
    ],
    "accounts": [
     "operator",
     "provider",
     "lease"
    ]
   },
   {
    "tag": 58,
    "name": "acknowledgeStart",
    "about": "Says that the tenant has reached the lease; from now on it is paid.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "`LeaseTerms::hash` of the lease."
     ],
     [
      "accessHash",
      "bytes:32",
      "`access_hash` of what the tenant used."
     ]
    ],
    "accounts": [
     "tenant",
     "lease"
    ]
   },
   {
    "tag": 59,
    "name": "submitProof",
    "about": "Proves the current epoch and meters the seconds since the last proof.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "`LeaseTerms::hash` of the lease."
     ],
     [
      "epoch",
      "u64",
      "The epoch."
     ],
     [
      "firstSlot",
      "u64",
      "Its first slot that was not skipped."
     ],
     [
      "hash",
      "bytes:32",
      "The hash of that slot."
     ],
     [
      "proof",
      "bytes:32",
      "The Merkle root of all rounds' roots."
     ]
    ],
    "accounts": [
     "operator",
     "provider",
     "lease"
    ]
   },
   {
    "tag": 60,
    "name": "verifyAndRelease",
    "about": "Pays every epoch whose time for disputes is over, but for the oldest about which one is open, and newer ones. Anyone.",
    "fields": [],
    "accounts": [
     "provider",
     "lease"
    ]
   },
   {
    "tag": 61,
    "name": "topUp",
    "about": "Adds seconds to a lease, until a minute before its end. Anyone.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "`LeaseTerms::hash` of the lease."
     ],
     [
      "seconds",
      "u32",
      "Seconds."
     ]
    ],
    "accounts": [
     "payer",
     "lease",
     "systemProgram"
    ]
   },
   {
    "tag": 62,
    "name": "closeLease",
    "about": "Ends a lease, or gives the provider's notice. Who may depends on the reason.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "`LeaseTerms::hash` of the lease."
     ],
     [
      "reason",
      "u8",
      "`CloseReason`."
     ],
     [
      "now",
      "u8",
      "1 if a provider's authority ends it now, at the price of its notice; 0 if the provider gives notice."
     ],
     [
      "expected",
      "u8",
      "`LeaseStatus` that the lease must have: what an end costs depends on it."
     ]
    ],
    "accounts": [
     "closer",
     "provider",
     "lease"
    ]
   },
   {
    "tag": 63,
    "name": "withdrawLease",
    "about": "Pays a tenant what the lease holds for it. Anyone.",
    "fields": [],
    "accounts": [
     "lease",
     "tenant"
    ]
   },
   {
    "tag": 64,
    "name": "closeLeaseAccount",
    "about": "Closes a lease that ended long enough ago and of which nothing is pending. The tenant gets what is its own, unless its wallet is too empty to hold so little: that is burned. The rent goes to who paid it. Anyone.",
    "fields": [],
    "accounts": [
     "lease",
     "provider",
     "tenant",
     "rentPayer"
    ]
   },
   {
    "tag": 72,
    "name": "disputeLease",
    "about": "Says that a proof is false, naming elements of it, for a bond; or, as the tenant, that an epoch was not served, which burns its price and half as much of the tenant's.",
    "fields": [
     [
      "termsHash",
      "bytes:32",
      "`LeaseTerms::hash` of the lease."
     ],
     [
      "epoch",
      "u64",
      "The epoch."
     ],
     [
      "proof",
      "bytes:32",
      "Its proof; zero for the seconds behind the last one."
     ],
     [
      "kind",
      "u8",
      "`DisputeKind`."
     ],
     [
      "count",
      "u8",
      "Used part of `elements`; 0 for what was not served."
     ],
     [
      "elements",
      "[{namedElement};8]",
      "Elements, ascending by unit, round, row and column; the rest zero."
     ],
     [
      "most",
      "u64",
      "Most lamports of the bond, which grows with each dispute that is open before it."
     ]
    ],
    "accounts": [
     "payer",
     "disputer",
     "provider",
     "lease",
     "leaseDispute?",
     "systemProgram"
    ]
   },
   {
    "tag": 73,
    "name": "openProof",
    "about": "Shows of a disputed proof the root of a round that a named element needs, or a named element. Anyone.",
    "fields": [
     [
      "kind",
      "u8",
      "`Shown`."
     ],
     [
      "unit",
      "u8",
      "Unit of the round; 0 for an element."
     ],
     [
      "index",
      "u32",
      "Round of the unit, or place of the element in the dispute."
     ],
     [
      "tail",
      "rest",
      "Behind the arguments: the root of the round, or the 64 bytes of the element's leaf, and its path."
     ]
    ],
    "accounts": [
     "leaseDispute"
    ]
   },
   {
    "tag": 74,
    "name": "resolveLeaseDispute",
    "about": "Decides the oldest open dispute of a lease: when everything is opened, when an element is wrong, when the time for openings is over. Anyone.",
    "fields": [],
    "accounts": [
     "provider",
     "lease",
     "leaseDispute"
    ]
   },
   {
    "tag": 75,
    "name": "closeLeaseDispute",
    "about": "Pays a decided dispute's disputer what is due to it, and closes it; the rent goes to who paid it, and with it what the disputer's wallet was too empty to hold. Anyone.",
    "fields": [],
    "accounts": [
     "leaseDispute",
     "disputer",
     "rentPayer"
    ]
   }
  ],
  "structures": {
   "grid": [
    [
     "epochSlots",
     "u32",
     "Slots of an epoch."
    ],
    [
     "epochSeconds",
     "u32",
     "Seconds that an epoch is expected to take."
    ]
   ],
   "marketParams": [
    [
     "rules",
     "{marketRules}",
     "What each request and lease keeps a copy of."
    ],
    [
     "maxRequestSlots",
     "u32",
     "Longest time from request to acceptance, slots."
    ],
    [
     "maxNonceLifeSlots",
     "u32",
     "Longest life of a request's nonce, slots."
    ],
    [
     "unbondingSlots",
     "u32",
     "Slots until unstaked lamports can be withdrawn, and until added stake counts."
    ]
   ],
   "marketRules": [
    [
     "startSlots",
     "u32",
     "Slots after acceptance in which the provider starts."
    ],
    [
     "ackSlots",
     "u32",
     "Slots after the start in which the tenant acknowledges it; at most an epoch."
    ],
    [
     "disputeSlots",
     "u32",
     "Slots after a proof in which it can be disputed."
    ],
    [
     "openingsSlots",
     "u32",
     "Slots after a dispute in which what it names must be opened."
    ],
    [
     "maxMissed",
     "u32",
     "Epochs without a proof in a row after which anyone may close a lease."
    ],
    [
     "noticeEpochs",
     "u32",
     "Epochs that a provider goes on after it has said that it closes, or pays for."
    ],
    [
     "jailSlots",
     "u32",
     "Slots for which a provider is jailed whose proof was refuted; at most the unbonding time."
    ],
    [
     "closeDelaySlots",
     "u32",
     "Slots that an ended account stays before it can be closed."
    ],
    [
     "maxLeaseSeconds",
     "u32",
     "Longest lease with all that is added to it, seconds."
    ],
    [
     "providerBps",
     "u16",
     "Provider's share, basis points."
    ],
    [
     "foundationBps",
     "u16",
     "Foundation's share, basis points; the rest is burned."
    ],
    [
     "answeringFee",
     "u64",
     "Lamports for each transaction of the answer to a dispute; at most `min_epoch_price`."
    ],
    [
     "noShow",
     "u64",
     "Lamports that a provider loses which accepted and did not start, and the least that both lose by a start that is not acknowledged; at most sixteen times `min_epoch_price`."
    ],
    [
     "minEpochPrice",
     "u64",
     "Least lamports of an epoch of a lease."
    ],
    [
     "minStake",
     "u64",
     "Least active stake of a provider that takes leases, lamports."
    ]
   ],
   "probe": [
    [
     "n",
     "u32",
     "Side of the matrices, a multiple of 16."
    ],
    [
     "rounds",
     "u32",
     "Rounds of each unit."
    ],
    [
     "proofSlots",
     "u32",
     "Slots from the beginning of an epoch in which its proof is taken."
    ],
    [
     "stakePerUnit",
     "u64",
     "Lamports of active stake that each leased unit takes up."
    ]
   ],
   "namedElement": [
    [
     "unit",
     "u8",
     "Unit of the lease."
    ],
    [
     "round",
     "u32",
     "Round of the unit."
    ],
    [
     "row",
     "u32",
     "Row."
    ],
    [
     "column",
     "u32",
     "Column."
    ]
   ]
  }
 }
];

/** What the programs' refusals say, by their numbers. */
export const REFUSALS: Readonly<Record<number, string>> = {
 "100": "the first byte of the instruction data is no known instruction",
 "101": "the instruction data has another length than its arguments",
 "102": "the instruction needs more accounts",
 "103": "the instruction takes fewer accounts",
 "104": "an account that must sign did not",
 "105": "an account that is written is not marked writable",
 "106": "the program is not deployed under the address it was built for",
 "107": "the account is not the system program",
 "108": "the account is not the incinerator",
 "109": "an amount does not fit a signed 64-bit integer",
 "110": "the amount is zero",
 "111": "a stored balance is smaller than what would be taken from it",
 "112": "a text is too long or is not printable ASCII padded with zeroes",
 "113": "unused room in the arguments is not zero",
 "114": "the clock or rent sysvar cannot be read",
 "115": "the system program refused a transfer or an account creation",
 "116": "a counter cannot be raised further",
 "117": "a flag is neither 0 nor 1",
 "200": "the account is not owned by this program",
 "201": "the account has another type, version or length than expected",
 "202": "the account's address is not the one its seeds give",
 "203": "the account exists already",
 "204": "the vault belongs to another owner than the job",
 "205": "the grant is not the one the job was requested under",
 "206": "the job was requested under a grant, which must be passed",
 "207": "a grant was passed where none applies",
 "208": "the validator is not the job's",
 "209": "the job has a validator, which must be passed",
 "210": "a validator was passed where none applies",
 "211": "the account is not the one that paid the rent",
 "212": "the model is not the one expected",
 "213": "a validator needs its operator's signature beside it",
 "300": "the signer is not the program's upgrade authority",
 "301": "the account is not this program's program data",
 "302": "the signer is not the admin",
 "303": "the signer is not the proposed admin",
 "304": "the network is paused: no new jobs or requests",
 "305": "the network is not paused",
 "306": "the window and reveals must be 32 to 400 slots, cancel grace 1 to 400, openings at least 50",
 "307": "a duration in slots is zero or too long, or the speed of reading is zero",
 "308": "the close delay must be longer than a nonce's life",
 "309": "unbonding must last at least job + window + openings + 800 slots, that of a provider dispute + openings + 800, and at least the jail",
 "310": "the shares of a fee must be 1 basis point at least and 10,000 together at most",
 "311": "the slash must be 1,000 to 10,000 basis points, the bond 50 to 10,000",
 "312": "a jury has 3 to 15 seats",
 "313": "minimum stake, stake per job and stake of a juror must not be zero, and exposure be 1 to 10,000 basis points",
 "314": "the address is all zero or is an account of this program",
 "315": "the validator owes nothing to foundation and incinerator",
 "316": "there is nothing to withdraw",
 "317": "the account is not the foundation's address",
 "400": "the kernel profile is not listed",
 "401": "end-of-sequence ids must be 1 to 8, ascending and distinct",
 "402": "the context length is zero",
 "403": "the most tokens of a job must be 2 to the context length",
 "404": "the error threshold is at most 10,000 ppm and the share of misses at most 1,000,000 ppm, both or neither",
 "405": "commit slots must be 100 to 300",
 "406": "the signer is not the model's registrant",
 "407": "the model is retired",
 "408": "the name is empty",
 "409": "the prices are not the ones stated",
 "410": "the signer is not the proposed registrant",
 "500": "the key is not the owner of the validator or provider",
 "501": "the signer is not the operator of the validator or provider",
 "502": "the active stake is below the minimum",
 "503": "a validator serves at most 8 models, a grant names at most 4",
 "504": "a model is named twice",
 "505": "the active stake is smaller than the amount",
 "506": "the unbonding time is not over",
 "507": "a case of the validator is not decided, or a claim of it not collected",
 "508": "there are open jobs",
 "509": "the validator is jailed",
 "510": "the validator is not jailed",
 "511": "the jail time is not over",
 "512": "the validator still holds stake, earnings or dues",
 "513": "the validator does not serve the model",
 "514": "the stake is taken up by what was accepted",
 "515": "the signer is not the proposed owner",
 "516": "what the validator accepted or judged may still be asked of its stake",
 "517": "the job's ceiling, or those of all open jobs together, exceed what the validator's stake backs",
 "600": "the signer is not the owner",
 "601": "the vault's balance is too small",
 "602": "open jobs hold part of the vault",
 "603": "the grant is revoked",
 "604": "the grant has expired",
 "605": "the grant is neither revoked nor expired",
 "606": "a grant's limits must not be zero, nor its expiry lie in the past",
 "607": "the grant does not cover this model",
 "608": "the job's ceiling exceeds the grant's limit per job",
 "609": "the job's ceiling exceeds what is left of the grant's window",
 "610": "the job's ceiling exceeds what is left of the grant",
 "611": "owner and delegate are the same key",
 "612": "the grant's spent amount is not the one stated",
 "700": "the signer is neither the vault's owner nor a delegate with a grant",
 "701": "a job needs at least one prompt token",
 "702": "a job needs room for at least one output token",
 "703": "prompt and output exceed what the model allows, or the output 65,536 tokens",
 "704": "the temperature is at most 2,000 thousandths",
 "705": "the sampling profile is not listed",
 "706": "the deadline must be 1 to max_job_slots slots away, that of a request of capacity 1 to max_request_slots",
 "707": "the nonce's expiry slot has passed",
 "708": "the nonce's expiry slot is too far away",
 "709": "the job's status does not allow this",
 "710": "the account is not in the state that the instruction names",
 "711": "the deadline has passed",
 "712": "the deadline has not passed",
 "713": "the signer may not cancel this job",
 "714": "a cancel is already recorded",
 "715": "the output has no tokens or more than the job allows",
 "716": "the finish reason is not listed",
 "717": "finish reason length needs the most tokens allowed",
 "718": "finish reason stopped needs a job with stop strings",
 "719": "finish reason cancelled needs a recorded cancel",
 "720": "the challenge window is still open",
 "721": "the challenge window is closed",
 "722": "the account must stay a while longer",
 "723": "the network's rules are not the ones stated",
 "724": "this sampling profile is only for models whose arithmetic is exact",
 "800": "the validator was not registered, or did not serve the model, long enough before the request",
 "801": "the submitter cannot claim, judge or be paid for its own result",
 "802": "the slots that draw the sample or the jury have not passed",
 "803": "the slot hash is no longer kept",
 "804": "named positions must be ascending, distinct, inside the output and not sampled",
 "805": "positions can be named only in an exact profile",
 "806": "a leaf and its path do not lead to the fingerprint",
 "807": "a leaf breaks the rules of order, choice or end of sequence",
 "808": "posted tokens do not match the output root",
 "809": "the time for openings is over",
 "810": "leaves or output are not complete",
 "811": "the case's status does not allow this",
 "812": "jurors cannot commit now",
 "813": "the validator may not sit on this jury",
 "814": "the juror has committed already",
 "815": "the juror has no seat",
 "816": "jurors cannot reveal now",
 "817": "the vote does not match the commitment",
 "818": "the case is not resolved",
 "819": "the case cannot be resolved yet",
 "820": "the leaves shown break no rule",
 "821": "the amount was collected already",
 "822": "the bond offered is smaller than what the claim costs now",
 "823": "the case is not of this job",
 "824": "the page is not the one that holds these tokens of the job's output",
 "825": "the case does not check this position",
 "826": "posted tokens break the rules of end of sequence",
 "827": "the juror has revealed already",
 "828": "amounts of the case are not collected yet",
 "829": "the case owes this validator nothing and asks nothing of it",
 "830": "the job has not ended, or an end of it is too recent",
 "831": "sixteen claims say false already",
 "832": "the time to join the case is over",
 "833": "a case is joined only by saying false, and only once output and sample are shown",
 "834": "the kind of claim is not listed",
 "835": "a model that is neither exact nor has thresholds takes no false",
 "836": "the votes are not the case's",
 "837": "the validator has said so already",
 "838": "who claims does not judge",
 "839": "a claim of withholding names no positions",
 "840": "a fault was proved already, and this one shows nothing that is awaited",
 "900": "an epoch has 32 to 10,000,000 slots of 1/20 to 2 seconds",
 "901": "notice and missed epochs must be 1 to 16",
 "902": "a side is a multiple of 16 up to 16,384, rounds 1 to 4,096, proofs 12 to 400 slots and half an epoch, stake at least a lamport",
 "903": "the class is retired",
 "904": "the class is not the one expected",
 "905": "a provider offers at least one unit, and as many as are leased; a lease has 1 to 8",
 "906": "the isolation is not listed",
 "907": "the active stake would not cover the units that it backs",
 "908": "the provider still holds stake, earnings or dues",
 "909": "there are accounts of the provider's leases",
 "910": "there are disputes that are not resolved",
 "911": "the provider is not the one expected",
 "912": "starts and disputes last 32 slots at least, openings 50, acknowledgements 32 to an epoch; disputes with openings at most 30 epochs",
 "913": "the answering fee is at most the least price of an epoch, no_show at most sixteen times that",
 "1000": "the kind of lease is not listed",
 "1001": "an endpoint names a model, a container none",
 "1002": "a lease lasts at least an epoch, and with all that is added at most max_lease_seconds",
 "1003": "an epoch of the lease costs less than min_epoch_price",
 "1004": "the request's status does not allow this",
 "1005": "the signer is not the tenant",
 "1006": "the account is not the tenant",
 "1007": "the provider is not in the region that is asked for",
 "1008": "the provider isolates less than is asked for",
 "1009": "the provider's price is above the request's",
 "1010": "the provider has not as many units free",
 "1011": "the stake behind the units is less than the price of 32 epochs",
 "1012": "the request's lease still has its account",
 "1013": "all seconds of the lease cost less than no_show",
 "1100": "the lease's status does not allow this",
 "1101": "a hash is all zero",
 "1102": "the epoch is not the current one",
 "1103": "the hash of the epoch's first slot is not known yet",
 "1104": "the epoch is proved, or the lease started in it",
 "1105": "the time for proofs of this epoch is over",
 "1106": "the lease's time is over, or too little is left of it to add to",
 "1107": "there is no epoch that can be paid now",
 "1108": "the reason is not listed, or nobody can give it",
 "1109": "the lease's time is not over",
 "1110": "the provider's notice is not over",
 "1111": "too few epochs in a row were missed",
 "1112": "epochs of the lease are still pending",
 "1200": "the kind of dispute, or of what is shown, is not listed",
 "1201": "the lease has no such epoch, or it is settled",
 "1202": "the time to dispute the epoch is over",
 "1203": "what is behind the last proof has no proof to refute",
 "1204": "1 to 8 elements must be named, ascending, distinct and inside the proof",
 "1205": "an account of a dispute was passed where there is none",
 "1206": "the dispute's status does not allow this",
 "1207": "the lease is not the dispute's",
 "1208": "what is shown and its path do not lead to the proof",
 "1209": "the dispute does not name this",
 "1210": "the roots that the element needs are not shown",
 "1211": "this is shown already",
 "1212": "the dispute cannot be resolved yet, or an older one comes first",
 "1213": "the account is not who disputed",
 "1214": "the bond is more than the dispute says that it may be"
};
